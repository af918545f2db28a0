package snapshot

import (
	"context"
	"fmt"
	"os"
)

// chunkWriter writes a large file chunk by chunk, in order, and leaves out pages
// of zeroes.
type chunkWriter struct {
	ctx    context.Context
	f      *os.File
	size   uint64
	sums   chunks
	summer *summer
	stored uint64

	chunk  []byte // the one that is being filled; beyond what was put, zeroes
	index  uint64 // of it
	filled bool   // it has something

	written bool // the file was before, and chunks are of it
}

// newChunkWriter begins to write to f, which is empty and is to have size bytes.
func newChunkWriter(ctx context.Context, f *os.File, size uint64) (*chunkWriter, error) {
	if err := f.Truncate(int64(size)); err != nil {
		return nil, fmt.Errorf("make %s: %w", f.Name(), err)
	}
	w := &chunkWriter{ctx: ctx, f: f, size: size, sums: newChunks(size), summer: newSummer(), chunk: make([]byte, chunkSize)}
	none := w.summer.sum(w.summer.zeros)
	for i := range countChunks(size) {
		w.sums.set(i, none)
	}
	if rest := size % chunkSize; rest > 0 {
		w.sums.set(size/chunkSize, w.summer.sum(w.summer.zeros[:rest]))
	}
	return w, nil
}

// put takes bytes at an offset, which only ever grows.
func (w *chunkWriter) put(offset uint64, b []byte) error {
	for len(b) > 0 {
		if i := offset / chunkSize; i != w.index {
			if err := w.flush(); err != nil {
				return err
			}
			w.index = i
		}
		n := copy(w.chunk[offset%chunkSize:], b)
		w.filled = true
		offset += uint64(n)
		b = b[n:]
	}
	return nil
}

// flush writes the chunk.
func (w *chunkWriter) flush() error {
	if w.written {
		w.store()
	}
	if !w.filled {
		return nil
	}
	if w.ctx.Err() != nil {
		return fmt.Errorf("write %s: %w", w.f.Name(), context.Cause(w.ctx))
	}
	start := w.index * chunkSize
	b := w.chunk[:min(w.size-start, chunkSize)]
	w.sums.set(w.index, w.summer.sum(b))
	for from := 0; from < len(b); {
		to, zero := w.run(b, from)
		if !zero {
			if _, err := w.f.WriteAt(b[from:to], int64(start)+int64(from)); err != nil {
				return fmt.Errorf("write %s: %w", w.f.Name(), err)
			}
			w.stored += uint64(to - from)
		}
		from = to
	}
	clear(w.chunk)
	w.filled = false
	return nil
}

// run returns where the pages end that are zero or not as the one at from is.
func (w *chunkWriter) run(b []byte, from int) (to int, zero bool) {
	page := func(at int) bool { return w.summer.isZero(b[at:min(at+pageSize, len(b))]) }
	zero = page(from)
	for to = from + pageSize; to < len(b) && page(to) == zero; {
		to += pageSize
	}
	return min(to, len(b)), zero
}
