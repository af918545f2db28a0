// Package file is a disk in a regular file or on a block device.
package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options say how an image is opened.
type Options struct {
	ReadOnly bool
	// Direct moves data between disk and guest without the host's page cache:
	// for guests that cache by themselves, on a fast disk.
	Direct bool
}

// File is an open disk image. All its methods but Close may overlap.
type File struct {
	f *os.File
	Options
	blockSize uint32
	size      atomic.Uint64
	noNowait  atomic.Bool // the file system can't say whether a read would wait
	sync      syncer
}

// Open opens the image at path and locks it: many may read it at once, but who
// writes it is alone with it.
func Open(path string, o Options) (*File, error) {
	flag := os.O_RDWR
	if o.ReadOnly {
		flag = os.O_RDONLY
	}
	if o.Direct {
		flag |= unix.O_DIRECT
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		if o.Direct && errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: its file system has no direct I/O, leave it out", err)
		}
		return nil, fmt.Errorf("disk image: %w", err)
	}
	d, err := newFile(f, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("disk image %s: %w", path, err), f.Close())
	}
	return d, nil
}

func newFile(f *os.File, o Options) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	mode := info.Mode()
	if !mode.IsRegular() && mode.Type() != os.ModeDevice {
		return nil, fmt.Errorf("neither a regular file nor a block device")
	}
	how := unix.LOCK_EX
	if o.ReadOnly {
		how = unix.LOCK_SH
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("in use by another guest: stop it, or attach the image read-only to all")
		}
		return nil, err
	}
	d := &File{f: f, Options: o, blockSize: sectorSize}
	if o.Direct {
		if d.blockSize, err = directBlockSize(f, mode); err != nil {
			return nil, err
		}
	}
	return d, d.Refresh()
}

// Refresh looks at the image's size again, for an image that was made larger
// or smaller under a running guest.
func (d *File) Refresh() error {
	end, err := d.f.Seek(0, io.SeekEnd) // a block device's Stat has no size
	if err != nil {
		return fmt.Errorf("size of disk image: %w", err)
	}
	d.size.Store(uint64(end) / uint64(d.blockSize) * uint64(d.blockSize))
	return nil
}

// Size returns the bytes of the disk: whole blocks.
func (d *File) Size() uint64 { return d.size.Load() }

// ReadOnly reports whether WriteAt will fail.
func (d *File) ReadOnly() bool { return d.Options.ReadOnly }

// BlockSize returns the unit of reads and writes.
func (d *File) BlockSize() uint32 { return d.blockSize }

// Flush makes every write that has returned survive a crash of the host. Once
// it has failed it always fails.
func (d *File) Flush() error {
	return d.sync.do(func() error { return unix.Fdatasync(d.fd()) })
}

// Stat tells which file it is, whatever is at its path by now.
func (d *File) Stat() (os.FileInfo, error) { return d.f.Stat() }

// Close releases the image.
func (d *File) Close() error { return d.f.Close() }

func (d *File) fd() int { return int(d.f.Fd()) }
