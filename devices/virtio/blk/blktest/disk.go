// Package blktest is a disk in memory for tests, benchmarks and fuzzers: its
// failures and delays are theirs to choose.
package blktest

import (
	"sync"
)

// Disk implements blk.Backend. Set it up before the first request; the zero
// value is a disk without blocks.
type Disk struct {
	Bytes []byte
	Fixed bool   // read-only
	Block uint32 // bytes; 0 means 512
	// Err, if not nil, is asked before each operation: "read", "write",
	// "flush", "discard" or "zero".
	Err func(operation string) error
	// Gate, if not nil, holds each operation until it can receive, or Gate is
	// closed.
	Gate chan struct{}

	mu      sync.Mutex
	waiting int // at the gate
	flushes int
}

// New returns a disk of size bytes, in which each sector holds its number's
// lowest byte.
func New(size int) *Disk {
	d := &Disk{Bytes: make([]byte, size)}
	for i := range d.Bytes {
		d.Bytes[i] = byte(i / 512)
	}
	return d
}

// Waiting returns how many operations are held at the gate.
func (d *Disk) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.waiting
}

// Flushes returns how often Flush was called.
func (d *Disk) Flushes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.flushes
}

// Size implements blk.Backend.
func (d *Disk) Size() uint64 { return uint64(len(d.Bytes)) }

// ReadOnly implements blk.Backend.
func (d *Disk) ReadOnly() bool { return d.Fixed }

// BlockSize implements blk.Backend.
func (d *Disk) BlockSize() uint32 { return max(d.Block, 512) }

// ReadAt implements blk.Backend.
func (d *Disk) ReadAt(bufs [][]byte, off int64) error {
	return d.do("read", func() {
		for _, b := range bufs {
			off += int64(copy(b, d.Bytes[off:]))
		}
	})
}

// WriteAt implements blk.Backend.
func (d *Disk) WriteAt(bufs [][]byte, off int64) error {
	return d.do("write", func() {
		for _, b := range bufs {
			off += int64(copy(d.Bytes[off:], b))
		}
	})
}

// Flush implements blk.Backend.
func (d *Disk) Flush() error { return d.do("flush", func() { d.flushes++ }) }

// Discard implements blk.Backend: what is discarded reads as ones.
func (d *Disk) Discard(off, n int64) error {
	return d.do("discard", func() {
		for i := range d.Bytes[off:][:n] {
			d.Bytes[off+int64(i)] = 0xff
		}
	})
}

// WriteZeroes implements blk.Backend.
func (d *Disk) WriteZeroes(off, n int64, _ bool) error {
	return d.do("zero", func() { clear(d.Bytes[off:][:n]) })
}

func (d *Disk) do(operation string, f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Gate != nil {
		d.waiting++
		d.mu.Unlock()
		<-d.Gate
		d.mu.Lock()
		d.waiting--
	}
	if d.Err != nil {
		if err := d.Err(operation); err != nil {
			return err
		}
	}
	f()
	return nil
}

// Prompt is a Disk that serves all but flushes at once, as a page cache does.
type Prompt struct{ *Disk }

// TryReadAt implements blk.Prompt.
func (p Prompt) TryReadAt(bufs [][]byte, off int64) (bool, error) { return true, p.ReadAt(bufs, off) }

// TryWriteAt implements blk.Prompt.
func (p Prompt) TryWriteAt(bufs [][]byte, off int64) (bool, error) {
	return true, p.WriteAt(bufs, off)
}
