package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const snapshotExportLong = `Write a snapshot to a file, or to standard output, for "bulkhead snapshot import" on
another node. The archive is an OCI image layout, which tools for registries push as
it is, or with --format tar a tar archive of the snapshot's files.

It has all that the guest's memory had when it was saved, keys and passwords among
it. Images that the guest only reads aren't in it: the other node must have the same,
KVM of the same kind, and a processor of the same vendor that has all that this one has.`

// stdio stands for standard input or output.
const stdio = "-"

func newSnapshotExport(h *hostOptions) *cobra.Command {
	var to, format string
	cmd := &cobra.Command{
		Use: "export SNAPSHOT", Short: "Write a snapshot to a file, for another node", Long: snapshotExportLong,
		Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeSnapshot,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &bulkheadv1.ExportSnapshotRequest{Name: args[0], Format: snapshotFormats[format]}
			if r.GetFormat() == 0 {
				return fmt.Errorf("--format %q: there are oci and tar", format)
			}
			if to == stdio && term.IsTerminal(int(os.Stdout.Fd())) {
				return errors.New("an archive is nothing for a terminal: use -o FILE, or a pipe")
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if to == stdio {
				return exportTo(cmd.Context(), c, r, os.Stdout)
			}
			return exportFile(cmd.Context(), c, r, to)
		},
	}
	cmd.Flags().StringVarP(&to, "output", "o", stdio, "write to `FILE`; -: standard output")
	cmd.Flags().StringVar(&format, "format", "oci", "what to write: oci or tar")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"oci", "tar"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

var snapshotFormats = map[string]bulkheadv1.SnapshotFormat{
	"oci": bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_OCI, "tar": bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_TAR,
}

// exportTo writes an archive, and shows how far it is.
func exportTo(ctx context.Context, c *client.Client, r *bulkheadv1.ExportSnapshotRequest, w io.Writer) error {
	p := showProgress("exported")
	defer p.end()
	_, err := c.ExportSnapshot(ctx, r, io.MultiWriter(w, p))
	return plain(err)
}

// exportFile puts an archive, when all of it is there, in the place of what was called
// so. A signal meanwhile leaves nothing behind.
func exportFile(ctx context.Context, c *client.Client, r *bulkheadv1.ExportSnapshotRequest, to string) (err error) {
	if info, err := os.Stat(to); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // a device, or a pipe
		w, err := os.OpenFile(to, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(exportTo(ctx, c, r, w), w.Close())
	}
	if err := checkReplaceable(to); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".bulkhead-export-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if err = exportTo(ctx, c, r, tmp); err != nil {
		err = orCause(ctx, err)
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to) // with the mode of a file that is nobody else's
}
