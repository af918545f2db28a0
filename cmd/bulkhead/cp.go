package main

import (
	"errors"
	"path"
	"strings"

	"github.com/spf13/cobra"
)

func newCp(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "cp SANDBOX:SOURCE DEST | cp SOURCE SANDBOX:DEST",
		Short: "Copy files and directories to or from a running sandbox; - is standard input or output",
		Args:  cobra.ExactArgs(2), ValidArgsFunction: h.completePlace,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := parsePlace(args[0]), parsePlace(args[1])
			if (from.sandbox == "") == (to.sandbox == "") {
				return errors.New("one of the two is to be SANDBOX:PATH, and the other a path here (./a:b if it has a colon)")
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if from.sandbox != "" {
				return copyOut(cmd.Context(), c, from, to.path)
			}
			return copyIn(cmd.Context(), c, from.path, to)
		},
	}
}

// place is a path in a sandbox, or here.
type place struct{ sandbox, path string }

// parsePlace reads SANDBOX:PATH, or a path: as docker has it, one that begins with
// a slash or a dot is here whatever is in it.
func parsePlace(arg string) place {
	sandbox, p, ok := strings.Cut(arg, ":")
	if !ok || sandbox == "" || arg[0] == '/' || arg[0] == '.' {
		return place{path: arg}
	}
	if !path.IsAbs(p) {
		p = "/" + p
	}
	return place{sandbox, p}
}

// nameIn is what a copy is called in a directory: as the source is, whose absolute
// path without dots is full. It is empty where what is in the source goes there by
// itself: for a root, and where the user gave "." or "dir/.".
func nameIn(given, full string) string {
	if path.Base(given) == "." {
		return ""
	}
	return strings.TrimPrefix(path.Base(full), "/")
}
