package crash

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/backend/overlay"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/tests/durable"
)

// Every unit of a disk holds stamp 1 at first.
const (
	unitSize = 512
	first    = durable.Stamp(1)
)

// disk is a kind of disk that guests have.
type disk struct {
	options file.Options // of the image, whatever is in front of it
	overlay bool
	// writeThrough is a driver that didn't accept VIRTIO_BLK_F_FLUSH.
	writeThrough bool
}

var disks = map[string]disk{
	"file":                   {},
	"direct":                 {options: file.Options{Direct: true}},
	"overlay":                {overlay: true, options: file.Options{ReadOnly: true}},
	"file, write-through":    {writeThrough: true},
	"overlay, write-through": {overlay: true, options: file.Options{ReadOnly: true}, writeThrough: true},
}

// units returns how many the disk has: 4 MiB, if possible not a whole number of
// an overlay's clusters.
func (d disk) units() int {
	if d.options.Direct {
		return 8192
	}
	return 8192 - 3
}

func image(dir string) string       { return filepath.Join(dir, "image") }
func overlayFile(dir string) string { return filepath.Join(dir, "overlay") }

// create makes the disk's files in dir: an image that holds content, behind an
// empty overlay if there is one.
func (d disk) create(t *testing.T, dir string, content []byte) {
	t.Helper()
	err := os.WriteFile(image(dir), content, 0o600)
	if d.overlay {
		if e := os.Remove(overlayFile(dir)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		err = errors.Join(err, overlay.Create(overlayFile(dir), uint64(len(content))))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fresh is what a disk holds at first.
func (d disk) fresh() []byte {
	content := make([]byte, d.units()*unitSize)
	for i := range d.units() {
		durable.Fill(content[i*unitSize:][:unitSize], i, first)
	}
	return content
}

// flatten puts what the disk holds into the image, so that its overlay is empty
// again.
func (d disk) flatten(t *testing.T, dir string) {
	t.Helper()
	b := d.open(t, dir)
	content := make([]byte, d.units()*unitSize)
	_, err := reader{b}.ReadAt(content, 0)
	if err = errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	d.create(t, dir, content)
}

// backend is an open disk.
type backend interface {
	blk.Backend
	io.Closer
}

func (d disk) open(t *testing.T, dir string) backend {
	t.Helper()
	f, err := file.Open(image(dir), d.options)
	if err != nil {
		t.Fatal(err)
	}
	if !d.overlay {
		return f
	}
	o, err := overlay.Open(overlayFile(dir), f)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// reader reads a disk as one buffer does. Direct I/O has no objection: large
// slices of Go's begin at a page.
type reader struct{ backend }

func (r reader) ReadAt(p []byte, off int64) (int, error) {
	return len(p), r.backend.ReadAt([][]byte{p}, off)
}

func checksum(t *testing.T, path string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
