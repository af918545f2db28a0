package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

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
		to = filepath.Join(to, nameIn(from.path, path.Clean(from.path)))
	}
	if r.GetInfo().GetType() == bulkheadv1.FileType_FILE_TYPE_REGULAR {
		return copyOutTo(ctx, c, from.sandbox, r.GetInfo(), to)
	}
	return copyOutOne(ctx, c, from.sandbox, r.GetInfo(), to)
}

// copyOutTo copies a file to the place that the user named: to what a link there
// leads to, and into a device or a pipe, which stays one.
func copyOutTo(ctx context.Context, c *client.Client, sandbox string, f *bulkheadv1.FileInfo, to string) error {
	info, err := os.Stat(to)
	if err != nil || info.IsDir() { // nothing is there, or copyOutFile says what is in the way
		return copyOutFile(ctx, c, sandbox, f, to)
	}
	if info.Mode().IsRegular() {
		if to, err = filepath.EvalSymlinks(to); err != nil {
			return err
		}
		return copyOutFile(ctx, c, sandbox, f, to)
	}
	w, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = c.ReadFile(ctx, sandbox, f.GetPath(), w)
	return errors.Join(plain(err), w.Close())
}

// copyOutOne copies a file, or a directory with all that is in it. What it is
// called is the guest's doing: nothing is written outside to.
func copyOutOne(ctx context.Context, c *client.Client, sandbox string, f *bulkheadv1.FileInfo, to string) error {
	switch f.GetType() {
	case bulkheadv1.FileType_FILE_TYPE_REGULAR:
		return copyOutFile(ctx, c, sandbox, f, to)
	case bulkheadv1.FileType_FILE_TYPE_SYMLINK:
		if err := removeEarlier(to); err != nil {
			return err
		}
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

// removeEarlier removes what an earlier copy may have left, if there is any.
func removeEarlier(file string) error {
	if err := checkReplaceable(file); err != nil {
		return err
	}
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkReplaceable fails unless what is called so is a file or a link, or there is
// nothing: devices and directories are not for a copy to put away.
func checkReplaceable(file string) error {
	info, err := os.Lstat(file)
	if err != nil || info.Mode().IsRegular() || info.Mode().Type() == fs.ModeSymlink {
		return nil // what else is wrong shows when it is made
	}
	return fmt.Errorf("%s is in the way, and no file", file)
}

// copyOutFile puts a file, when all of it is there, in the place of what was called
// so. A signal meanwhile leaves nothing behind.
func copyOutFile(ctx context.Context, c *client.Client, sandbox string, f *bulkheadv1.FileInfo, to string) (err error) {
	if err := checkReplaceable(to); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".bulkhead-cp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if _, err = c.ReadFile(ctx, sandbox, f.GetPath(), tmp); err != nil {
		err = orCause(ctx, err)
	}
	if err = errors.Join(err, tmp.Chmod(fs.FileMode(f.GetMode()).Perm()), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
