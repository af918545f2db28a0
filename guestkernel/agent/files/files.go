// Package files reads and writes small files that somebody else may have put
// in the way: no FIFO holds the reader up and no endless file fills memory.
package files

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read returns the content of the regular file at path, or an error if it is
// larger than limit or no regular file. A file of /proc is regular.
func Read(path string, limit int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return b, nil
}

// ErrNotRegular says that something else than a file is in a file's place.
var ErrNotRegular = errors.New("not a regular file")

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
