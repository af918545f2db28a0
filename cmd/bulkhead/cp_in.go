package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// copyIn copies from here to a sandbox.
func copyIn(ctx context.Context, c *client.Client, from string, to place) error {
	if from == "-" {
		_, err := c.WriteFile(ctx, &bulkheadv1.WriteFileHeader{Sandbox: to.sandbox, Path: to.path}, os.Stdin)
		return plain(err)
	}
	if _, err := os.Lstat(from); err != nil {
		return err
	}
	full, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	// Into a directory that is there, under its own name; else in its place.
	if isDir, err := isGuestDir(ctx, c, to); err != nil {
		return err
	} else if isDir || strings.HasSuffix(to.path, "/") {
		to.path = path.Join(to.path, nameIn(from, full))
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
	case status.Code(err) == codes.NotFound && reasonOf(err) != fault.ReasonNoSandbox:
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
