// Package overlay is a writable disk in front of a base that is only read, and
// that any number of overlays may share.
//
//	write ─▶ overlay file, bit set          read ─▶ bit set? overlay : base
//	           └ a part of a cluster that is in the base: copied up first
//
// The bitmap is written by Flush, after the data it speaks of: what a host
// that crashes leaves is the disk as of some moment after its last Flush, as
// for a disk with a cache.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
)

// Base is what lies behind an overlay.
type Base interface {
	Size() uint64
	BlockSize() uint32
	ReadAt(bufs [][]byte, off int64) error
	TryReadAt(bufs [][]byte, off int64) (done bool, err error)
	Close() error
}

// Overlay is an open overlay. All its methods but Close may overlap.
type Overlay struct {
	layout
	base Base
	top  *file.File

	// update is held for reading by whoever writes, and for writing by
	// whoever copies up, so that nothing copied undoes what is being written.
	update  sync.RWMutex
	present *bitmap

	flush sync.Mutex // one Flush at a time; taken before update
}

// Create makes an empty overlay of a base of size bytes at path, where no file
// may be yet. It is there whole or not at all.
func Create(path string, size uint64) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	l := newLayout(size)
	_, err = f.Write(l.header())
	err = errors.Join(err, f.Truncate(l.dataOffset+int64(size)), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // refuses to replace a file, unlike a rename
	}
	if err = errors.Join(err, os.Remove(f.Name())); err == nil {
		err = syncDir(filepath.Dir(path)) // or a crash could lose the name, and all that is flushed to it
	}
	if err != nil {
		return fmt.Errorf("create overlay: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open opens the overlay at path in front of base, which it takes over: Close
// closes both, and so does an Open that fails.
func Open(path string, base Base) (*Overlay, error) {
	o := &Overlay{base: base}
	if err := o.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("overlay %s: %w", path, err), o.closeFiles())
	}
	return o, nil
}

func (o *Overlay) open(path string) (err error) {
	if o.top, err = file.Open(path, file.Options{}); err != nil {
		return err
	}
	header := make([]byte, headerSize)
	if err := o.top.ReadAt([][]byte{header}, 0); err != nil {
		return fmt.Errorf("not an overlay: name a new file, or remove this one (%w)", err)
	}
	if o.layout, err = parseHeader(header, o.base.Size()); err != nil {
		return err
	}
	if need := uint64(o.dataOffset) + o.size; o.top.Size() < need {
		return fmt.Errorf("truncated: %d bytes, should be %d", o.top.Size(), need)
	}
	bits := make([]byte, o.bitmapLen)
	if err := o.top.ReadAt([][]byte{bits}, bitmapOffset); err != nil {
		return fmt.Errorf("read the bitmap: %w", err)
	}
	o.present = load(bits)
	return nil
}

// Size returns the bytes of the disk.
func (o *Overlay) Size() uint64 { return o.size }

// ReadOnly reports that the disk isn't.
func (o *Overlay) ReadOnly() bool { return false }

// BlockSize returns the unit of reads and writes.
func (o *Overlay) BlockSize() uint32 { return max(o.base.BlockSize(), o.top.BlockSize()) }

// Flush makes every write that has returned survive a crash of the host.
func (o *Overlay) Flush() error {
	o.flush.Lock()
	defer o.flush.Unlock()
	// Whoever has written has also marked its page, once update is free: of two
	// who write the same cluster at once, one leaves that to the other. The
	// pages are copied before the data is synced: what they say is there was
	// written before.
	o.update.Lock()
	pages := map[int][]byte{}
	for i := range o.present.dirty {
		if o.present.dirty[i].Swap(false) {
			pages[i] = o.present.page(i)
		}
	}
	o.update.Unlock()
	err := o.top.Flush()
	for i, page := range pages {
		if err == nil {
			err = o.top.WriteAt([][]byte{page}, bitmapOffset+int64(i)*bitmapPage)
		}
	}
	if err == nil && len(pages) > 0 {
		err = o.top.Flush()
	}
	if err != nil { // they still differ from the file
		for i := range pages {
			o.present.dirty[i].Store(true)
		}
		return fmt.Errorf("flush overlay: %w", err)
	}
	return nil
}

// Close flushes and releases the overlay and its base.
func (o *Overlay) Close() error { return errors.Join(o.Flush(), o.closeFiles()) }

func (o *Overlay) closeFiles() error {
	err := o.base.Close()
	if o.top != nil {
		err = errors.Join(err, o.top.Close())
	}
	return err
}
