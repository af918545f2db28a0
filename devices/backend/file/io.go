package file

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// ReadAt fills bufs from off on. It fails with io.ErrUnexpectedEOF if the file
// has become shorter than it was.
func (d *File) ReadAt(bufs [][]byte, off int64) error {
	n, err := iovec.Preadv(d.fd(), bufs, off)
	if err == nil && n < iovec.Len(bufs) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// TryReadAt is ReadAt if all is in the page cache; otherwise it reports false.
func (d *File) TryReadAt(bufs [][]byte, off int64) (bool, error) {
	if d.Direct || d.noNowait.Load() {
		return false, nil
	}
	n, err := iovec.PreadvNowait(d.fd(), bufs, off)
	if errors.Is(err, unix.EOPNOTSUPP) {
		d.noNowait.Store(true)
	}
	// What is wrong, ReadAt will find as well.
	return err == nil && n == iovec.Len(bufs), nil
}

// WriteAt writes bufs from off on.
func (d *File) WriteAt(bufs [][]byte, off int64) error {
	n, err := iovec.Pwritev(d.fd(), bufs, off)
	if err == nil && n < iovec.Len(bufs) {
		err = io.ErrShortWrite // the disk is full
	}
	return err
}

// TryWriteAt is WriteAt if that goes to the page cache; otherwise it reports
// false.
func (d *File) TryWriteAt(bufs [][]byte, off int64) (bool, error) {
	if d.Direct {
		return false, nil
	}
	return true, d.WriteAt(bufs, off)
}
