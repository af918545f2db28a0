// Package plainfile opens, reads and replaces regular files where somebody may
// have put something else: no FIFO holds the reader up, no device does what it
// does when opened, and no endless file fills memory.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular says that something else than a file is in a file's place.
var ErrNotRegular = errors.New("not a regular file")

// Open opens the regular file at path for reading. A file of /proc is regular.
// The error wraps ErrNotRegular for anything else. The caller closes the file.
func Open(path string) (*os.File, error) {
	// What is no file isn't even opened, unless it comes in between.
	if err := regular(os.Stat(path)); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := regular(f.Stat()); err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

func regular(info os.FileInfo, err error) error {
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%w but a directory", ErrNotRegular)
	case !info.Mode().IsRegular():
		err = ErrNotRegular
	}
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err // the path is said once
	}
	return err
}

// Read returns the content of the regular file at path, or an error if it is
// larger than limit or no regular file.
func Read(path string, limit int) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return b, nil
}

// Replace makes content the regular file at path, in place of whatever link
// was there. A file that is a mount point is written to instead.
func Replace(path string, content []byte, mode os.FileMode) error {
	temp := path + ".bulkhead"
	_ = os.Remove(temp) // left by a guest that was stopped
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(temp)
	if errors.Is(err, unix.EBUSY) {
		return os.WriteFile(path, content, mode)
	}
	return err
}

// IsDir tells whether path leads to a directory.
func IsDir(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
