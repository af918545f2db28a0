package snapshot

import (
	"context"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Memory writes the guest's RAM, to which nobody may write meanwhile: all of it, or
// what isn't as Prepare has found it. It gives up when ctx is done.
func (w *Writer) Memory(ctx context.Context, mem *memory.Memory) (err error) {
	switch own := []memory.Piece{{Size: mem.Size()}}; {
	case len(w.layers) > 0:
		err = w.differences(ctx, mem)
	case w.base != nil:
		err = w.overBase(ctx, mem)
	default:
		if !mem.Backed() { // all else are zeroes
			if own, err = mem.OwnPieces(); err != nil {
				return err
			}
		}
		err = w.all(ctx, mem, own)
	}
	if err != nil {
		return err
	}
	w.reached(memoryName)
	return nil
}

// all writes a file with all of RAM, in which pieces are what isn't zero.
func (w *Writer) all(ctx context.Context, mem *memory.Memory, pieces []memory.Piece) error {
	l, err := w.make(memoryName)
	if err != nil {
		return err
	}
	c, err := newChunkWriter(ctx, l.file, mem.Size())
	if err != nil {
		return err
	}
	for i := range pieces {
		pieces[i].Offset = pieces[i].At
	}
	w.layers = []*layer{{large: l, base: true}}
	return w.write(l, c, mem, pieces, c.put)
}

// write puts pieces of RAM where they have their offsets in a file.
func (w *Writer) write(l *large, c *chunkWriter, mem *memory.Memory, pieces []memory.Piece, put func(uint64, []byte) error) error {
	for _, one := range pieces {
		at := one.Offset
		err := mem.EachPart(one, func(b []byte) error {
			at += uint64(len(b))
			return put(at-uint64(len(b)), b)
		})
		if err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	l.is(c)
	w.stored = c.stored
	return nil
}

// differences writes a layer over those that are there.
func (w *Writer) differences(ctx context.Context, mem *memory.Memory) error {
	own, err := mem.OwnPieces()
	if err != nil {
		return err
	}
	l, err := w.make(memoryName)
	if err != nil {
		return err
	}
	p := packed(own, maxPieces)
	c, err := newChunkWriter(ctx, l.file, p.size())
	if err != nil {
		return err
	}
	w.layers = append([]*layer{{large: l, pages: p}}, w.layers...)
	return w.write(l, c, mem, p, c.put)
}

// overBase writes what has changed into a copy of what the machine began as.
func (w *Writer) overBase(ctx context.Context, mem *memory.Memory) error {
	own, err := mem.OwnPieces()
	if err != nil {
		return err
	}
	for i := range own {
		own[i].Offset = own[i].At
	}
	l, c := w.files[len(w.files)-1], w.base
	c.ctx = ctx
	w.layers = []*layer{{large: l, base: true}}
	return w.write(l, c, mem, own, c.replace)
}

// replace takes bytes, in whole pages, to put in the place of what was written, at an
// offset that only ever grows.
func (w *chunkWriter) replace(offset uint64, b []byte) error {
	w.written = true
	for len(b) > 0 {
		if i := offset / chunkSize; !w.filled || i != w.index {
			if err := w.load(i); err != nil {
				return err
			}
		}
		n := copy(w.chunk[offset%chunkSize:], b)
		if _, err := w.f.WriteAt(b[:n], int64(offset)); err != nil {
			return fmt.Errorf("write %s: %w", w.f.Name(), err)
		}
		offset += uint64(n)
		b = b[n:]
	}
	return nil
}

// load reads a chunk that was written.
func (w *chunkWriter) load(i uint64) error {
	w.store()
	if w.ctx.Err() != nil {
		return fmt.Errorf("write %s: %w", w.f.Name(), context.Cause(w.ctx))
	}
	w.index, w.filled = i, true
	b := w.chunk[:min(w.size-i*chunkSize, chunkSize)]
	if _, err := w.f.ReadAt(b, int64(i*chunkSize)); err != nil {
		return fmt.Errorf("read %s: %w", w.f.Name(), err)
	}
	w.stored -= w.full(b)
	return nil
}

// store makes the sum of a chunk that was loaded.
func (w *chunkWriter) store() {
	if !w.filled {
		return
	}
	b := w.chunk[:min(w.size-w.index*chunkSize, chunkSize)]
	w.sums.set(w.index, w.summer.sum(b))
	w.stored += w.full(b)
	w.filled = false
}

// full returns how many bytes are in pages that have something.
func (w *chunkWriter) full(b []byte) (n uint64) {
	for from := 0; from < len(b); {
		to, zero := w.run(b, from)
		if !zero {
			n += uint64(to - from)
		}
		from = to
	}
	return n
}
