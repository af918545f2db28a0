// Package file is a disk in a regular file or on a block device.
package file

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/iovec"
)

// File is an open disk image. Reads, writes and flushes may overlap; Close may
// not overlap any of them.
type File struct {
	f        *os.File
	size     uint64
	readOnly bool
}

// Open opens the image at path and locks it: many may read it at once, but who
// writes it is alone with it.
func Open(path string, readOnly bool) (*File, error) {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("disk image: %w", err)
	}
	d, err := newFile(f, readOnly)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk image %s: %w", path, err), f.Close())
	}
	return d, nil
}

func newFile(f *os.File, readOnly bool) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	mode := info.Mode()
	if !mode.IsRegular() && mode.Type() != os.ModeDevice {
		return nil, fmt.Errorf("neither a regular file nor a block device")
	}
	how := unix.LOCK_EX
	if readOnly {
		how = unix.LOCK_SH
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("in use by another guest: stop it, or attach the image read-only to all")
		}
		return nil, err
	}
	end, err := f.Seek(0, io.SeekEnd) // a block device's Stat has no size
	if err != nil {
		return nil, err
	}
	return &File{f: f, size: uint64(end), readOnly: readOnly}, nil
}

// Size returns the bytes of the disk.
func (d *File) Size() uint64 { return d.size }

// ReadOnly reports whether WriteAt will fail.
func (d *File) ReadOnly() bool { return d.readOnly }

// ReadAt fills bufs from off on. It fails with io.ErrUnexpectedEOF if the file
// has become shorter than it was.
func (d *File) ReadAt(bufs [][]byte, off int64) error {
	n, err := iovec.Preadv(int(d.f.Fd()), bufs, off)
	if err == nil && n < total(bufs) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// WriteAt writes bufs from off on.
func (d *File) WriteAt(bufs [][]byte, off int64) error {
	n, err := iovec.Pwritev(int(d.f.Fd()), bufs, off)
	if err == nil && n < total(bufs) {
		err = io.ErrShortWrite // the disk is full
	}
	return err
}

// Flush makes every write that has returned survive a crash of the host.
func (d *File) Flush() error { return unix.Fdatasync(int(d.f.Fd())) }

// Close releases the image.
func (d *File) Close() error { return d.f.Close() }

func total(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}
