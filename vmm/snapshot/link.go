package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// link makes the file one of another directory's as well, with its stamp. It fails
// with unix.ENOENT if no directory has it any more, and with unix.EXDEV if that one is
// of another file system.
func (l *large) link(d directory, name string) error {
	if l.verified.File == nil {
		return linkTo(l.file, d, name)
	}
	if err := l.verified.keepFitting(l.file, func() error { return linkTo(l.file, d, name) }); err != nil {
		return err
	}
	if err := linkTo(l.verified.File, d, name+verifiedSuffix); err != nil && !errors.Is(err, unix.ENOENT) {
		return err // else the file is read through once more
	}
	return nil
}

func linkTo(f *os.File, d directory, name string) error {
	err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), int(d.Fd()), name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: d.path(name), Err: err}
	}
	return nil
}

// RemoveAll removes what is at path, snapshots or what contains such, as os.RemoveAll
// does. Other snapshots that share files with them needn't be read through for that.
func RemoveAll(path string) error {
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(name, verifiedSuffix) {
			return nil // RemoveAll has a say in it
		}
		unlinkShared(name)
		return nil
	})
	return errors.Join(err, os.RemoveAll(path))
}

// unlinkShared removes a large file if others have it as well.
func unlinkShared(path string) {
	d, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return
	}
	defer d.Close()
	f, err := d.open(filepath.Base(path), os.O_RDONLY)
	if err != nil {
		return
	}
	defer f.Close()
	if s, err := fstat(f); err != nil || s.Nlink < 2 {
		return
	}
	v, err := d.open(filepath.Base(path)+verifiedSuffix, os.O_RDWR)
	if err != nil {
		return
	}
	defer v.Close()
	verifiedFile{v}.keepFitting(f, func() error { return os.Remove(path) })
}
