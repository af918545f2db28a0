package supervise

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// held reports whether the bundle, which isn't locked by b, is somebody's: a
// worker's from its start to its end.
func (b *Bundle) held() (bool, error) {
	f, err := lock(b.Dir, 0, unix.LOCK_NB)
	switch {
	case errors.Is(err, ErrHeld):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, f.Close()
}

// Kill ends the bundle's worker, if it lives and it is known which process it is,
// and waits for its end.
func (b *Bundle) Kill() error {
	id, known, err := b.Worker()
	if err != nil || !known {
		return err
	}
	return Kill(id)
}
