package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// directory is a snapshot's, held open: its files belong together, whatever comes to
// be at its path meanwhile.
type directory struct{ *os.File }

// within calls do with the directory at path: once more where another one has come in
// its place meanwhile, and do has failed for that. It fails with fs.ErrNotExist if
// there is none.
func within(path string, do func(directory) error) error {
	const tries = 5 // more than anybody has snapshots merged within a moment
	var failure error
	for range tries {
		d, err := openDirectory(path)
		if err != nil {
			return err
		}
		failure = do(d)
		moved := failure != nil && !d.isAt(path)
		if err := d.Close(); failure == nil || !moved {
			return errors.Join(failure, err)
		}
	}
	return failure
}

func openDirectory(path string) (directory, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return directory{}, fmt.Errorf("open a snapshot: %w", err)
	}
	return directory{f}, nil
}

// isAt reports whether the directory is what is at path.
func (d directory) isAt(path string) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false
	}
	then, err := d.Stat()
	return err == nil && os.SameFile(now, then)
}

// path is that of one of its files, for people.
func (d directory) path(name string) string { return filepath.Join(d.Name(), name) }

// open opens what must be a file and nothing else: a link may lead anywhere, and a
// FIFO is waited for.
func (d directory) open(name string, flags int) (*os.File, error) {
	const safe = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(d.Fd()), name, flags|safe, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.path(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path(name))
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: d.path(name), Err: errIrregular}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

var errIrregular = errors.New("it is no regular file")

// openWhole opens a file that must be there, for reading. It fails with *CorruptError
// where that is the snapshot's fault, and not the host's.
func (d directory) openWhole(name string) (*os.File, error) {
	f, err := d.open(name, os.O_RDONLY)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, &CorruptError{d.path(name), "it isn't there"}
	case errors.Is(err, errIrregular), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO): // a link; a socket
		return nil, &CorruptError{d.path(name), errIrregular.Error()}
	}
	return nil, fmt.Errorf("open a snapshot: %w", err)
}

// read reads a file of up to limit bytes.
func (d directory) read(name string, limit int64) ([]byte, error) {
	f, err := d.openWhole(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read a snapshot's %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, &CorruptError{f.Name(), fmt.Sprintf("it has more than %d bytes", limit)}
	}
	return b, nil
}

// readFile reads a file of up to limit bytes of the directory that is at a path now.
func readFile(dir, name string, limit int64) ([]byte, error) {
	d, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.read(name, limit)
}
