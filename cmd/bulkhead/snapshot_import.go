package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const snapshotImportLong = `Make a snapshot of an archive that "bulkhead snapshot export" has written, and print
its name. It is read from a file, or from standard input.

The node must have the same images that the snapshot's guest reads: its root file
system's, and those of disks that are read-only or have overlays. It must have the same
kind of KVM, and a processor of the same vendor with all that the other node's has.`

func newSnapshotImport(h *hostOptions) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "import [FILE|-]", Short: "Make a snapshot of an archive, and print its name", Long: snapshotImportLong, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := io.ReadCloser(os.Stdin)
			switch {
			case len(args) > 0 && args[0] != stdio:
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			case term.IsTerminal(int(os.Stdin.Fd())):
				return errors.New("an archive doesn't come from a terminal: name a file, or use a pipe")
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			p := showProgress("imported")
			s, err := c.ImportSnapshot(cmd.Context(), name, io.TeeReader(in, p))
			p.end()
			if err != nil {
				return plain(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), s.GetName())
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` of the snapshot (default: the one it had)")
	return cmd
}
