package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
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

// copyIn copies from here to a sandbox.
func copyIn(ctx context.Context, c *client.Client, from string, to place) error {
	if from == "-" {
		_, err := c.WriteFile(ctx, &bulkheadv1.WriteFileHeader{Sandbox: to.sandbox, Path: to.path}, os.Stdin)
		return plain(err)
	}
	if _, err := os.Lstat(from); err != nil {
		return err
	}
	// Into a directory that is there, under its own name; else in its place.
	if isDir, err := isGuestDir(ctx, c, to); err != nil {
		return err
	} else if isDir || strings.HasSuffix(to.path, "/") {
		to.path = path.Join(to.path, filepath.Base(from))
	}
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if err := copyInOne(ctx, c, p, d, place{to.sandbox, path.Join(to.path, filepath.ToSlash(rel))}); err != nil {
			return fmt.Errorf("%s: %w", p, plain(err))
		}
		return nil
	})
}

func isGuestDir(ctx context.Context, c *client.Client, p place) (bool, error) {
	r, err := c.Files.StatFile(ctx, &bulkheadv1.StatFileRequest{Sandbox: p.sandbox, Path: path.Clean(p.path)})
	switch {
	case status.Code(err) == codes.NotFound && reasonOf(err) != "SANDBOX_NOT_FOUND":
		return false, nil
	case err != nil:
		return false, plain(err)
	}
	return r.GetInfo().GetType() == bulkheadv1.FileType_FILE_TYPE_DIRECTORY, nil
}

func copyInOne(ctx context.Context, c *client.Client, from string, d fs.DirEntry, to place) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	mode := proto.Uint32(uint32(info.Mode().Perm()))
	switch {
	case d.IsDir():
		_, err := c.Files.MakeDirectory(ctx, &bulkheadv1.MakeDirectoryRequest{Sandbox: to.sandbox, Path: to.path, Mode: mode, Parents: true})
		return err
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		c.Files.RemoveFile(ctx, &bulkheadv1.RemoveFileRequest{Sandbox: to.sandbox, Path: to.path}) // an earlier one, if there is any
		_, err = c.Files.MakeSymlink(ctx, &bulkheadv1.MakeSymlinkRequest{Sandbox: to.sandbox, Path: to.path, Target: target})
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("neither a file nor a directory nor a link: leave it out")
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = c.WriteFile(ctx, &bulkheadv1.WriteFileHeader{Sandbox: to.sandbox, Path: to.path, Mode: mode}, f)
	return err
}

// copyOut copies from a sandbox to here.
func copyOut(ctx context.Context, c *client.Client, from place, to string) error {
	if to == "-" {
		_, err := c.ReadFile(ctx, from.sandbox, from.path, os.Stdout)
		return plain(err)
	}
	r, err := c.Files.StatFile(ctx, &bulkheadv1.StatFileRequest{Sandbox: from.sandbox, Path: from.path})
	if err != nil {
		return plain(err)
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() || strings.HasSuffix(to, "/") {
		to = filepath.Join(to, path.Base(from.path))
	}
	return copyOutOne(ctx, c, from.sandbox, r.GetInfo(), to)
}

// copyOutOne copies a file, or a directory with all that is in it. What it is
// called is the guest's doing: nothing is written outside to.
func copyOutOne(ctx context.Context, c *client.Client, sandbox string, f *bulkheadv1.FileInfo, to string) error {
	switch f.GetType() {
	case bulkheadv1.FileType_FILE_TYPE_REGULAR:
		return copyOutFile(ctx, c, sandbox, f, to)
	case bulkheadv1.FileType_FILE_TYPE_SYMLINK:
		os.Remove(to) // an earlier one, if there is any
		return os.Symlink(f.GetSymlinkTarget(), to)
	case bulkheadv1.FileType_FILE_TYPE_DIRECTORY:
	default:
		return fmt.Errorf("%q is neither a file nor a directory nor a link: leave it out", f.GetPath())
	}
	if err := makeDir(to, fs.FileMode(f.GetMode()).Perm()); err != nil {
		return err
	}
	err := c.ListFiles(ctx, sandbox, f.GetPath(), func(child *bulkheadv1.FileInfo) error {
		name := path.Base(child.GetPath())
		if !filepath.IsLocal(name) || strings.ContainsRune(name, filepath.Separator) {
			return fmt.Errorf("the guest has a file called %q, which can't be here", name)
		}
		return copyOutOne(ctx, c, sandbox, child, filepath.Join(to, name))
	})
	return plain(err)
}

// makeDir makes a directory that isn't there. A link that an earlier file of the
// guest's left is none.
func makeDir(dir string, mode fs.FileMode) error {
	info, err := os.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is in the way, and no directory", dir)
	}
	return os.Mkdir(dir, mode|0o700)
}

func copyOutFile(ctx context.Context, c *client.Client, sandbox string, f *bulkheadv1.FileInfo, to string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(to), ".bulkhead-cp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = c.ReadFile(ctx, sandbox, f.GetPath(), io.Writer(tmp))
	if err = errors.Join(plain(err), tmp.Chmod(fs.FileMode(f.GetMode()).Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
