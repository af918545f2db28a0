package snapshots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"
)

// RoomError says that there is too little room on the disk. It wraps unix.ENOSPC.
type RoomError struct {
	Path       string
	Free, Keep uint64 // bytes: what is free, and what is to stay so
}

func (e *RoomError) Error() string {
	size := func(n uint64) string { return units.BytesSize(float64(n)) }
	return fmt.Sprintf("the disk of %s has %s left, of which %s are not for snapshots", e.Path, size(e.Free), size(e.Keep))
}

func (e *RoomError) Unwrap() error { return unix.ENOSPC }

// CheckRoom fails with *RoomError unless there is room for so many bytes, and less
// than a share of the disk, between 0 and 1, isn't taken.
func (d *Dir) CheckRoom(bytes int64, share float64) error {
	var s unix.Statfs_t
	err := unix.Statfs(d.path, &s)
	for path := d.path; errors.Is(err, unix.ENOENT) && path != "/"; { // it is made when it is needed
		path = filepath.Dir(path)
		err = unix.Statfs(path, &s)
	}
	if err != nil {
		return fmt.Errorf("directory of snapshots: %w", err)
	}
	free, keep := s.Bavail*uint64(s.Bsize), uint64(share*float64(s.Blocks*uint64(s.Bsize)))
	if free < keep+uint64(max(bytes, 0)) {
		return &RoomError{d.path, free, keep}
	}
	return nil
}

// Scratch makes a file without a name, which is gone when it is closed.
func (d *Dir) Scratch() (*os.File, error) {
	fd, err := unix.Open(d.path, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(d.path, "scratch file")), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) { // of file systems that can't
		return nil, fmt.Errorf("make a scratch file: %w", &fs.PathError{Op: "open", Path: d.path, Err: err})
	}
	f, err := os.CreateTemp(d.path, gonePrefix+"scratch-")
	if err != nil {
		return nil, fmt.Errorf("make a scratch file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
