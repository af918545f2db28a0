package snapshot

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// fold writes what layers are together to f, which is empty: all of memory if the
// lowest is the base, or else the pages that they have. What it reads it checks.
func fold(ctx context.Context, f *os.File, layers []*layer) (*chunkWriter, pages, error) {
	type part struct {
		memory.Piece
		from *chunkReader
	}
	var parts []part
	var all []memory.Piece
	for i, pieces := range visible(layers) {
		r := newChunkReader(layers[i].large)
		for _, p := range pieces {
			parts = append(parts, part{p, r})
		}
		all = memory.Merge(all, pieces)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.At, b.At) })
	p := packed(all, max(maxPieces, len(all))) // no gaps are filled: there is nothing for them
	w, err := newChunkWriter(ctx, f, p.size())
	if err != nil {
		return nil, nil, err
	}
	at := uint64(0) // in f, in which there is no gap
	for _, one := range parts {
		if err := one.from.each(ctx, one.Offset, one.Size, func(offset uint64, b []byte) error {
			return w.put(at+offset-one.Offset, b)
		}); err != nil {
			return nil, nil, err
		}
		at += one.Size
	}
	return w, p, w.flush()
}

// chunkReader reads a large file and checks each chunk, in ascending order.
type chunkReader struct {
	*large
	summer *summer
	chunk  []byte
	index  uint64 // of the chunk that was read
	read   bool
	hole   bool // and is nothing but zeroes
}

func newChunkReader(l *large) *chunkReader {
	return &chunkReader{large: l, summer: newSummer(), chunk: make([]byte, min(chunkSize, l.size))}
}

// each calls do for what a range has, but for holes.
func (r *chunkReader) each(ctx context.Context, offset, size uint64, do func(offset uint64, b []byte) error) error {
	for size > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", r.file.Name(), context.Cause(ctx))
		}
		if i := offset / chunkSize; !r.read || i != r.index {
			if err := r.load(i); err != nil {
				return err
			}
		}
		from := offset % chunkSize
		n := min(size, chunkSize-from)
		if !r.hole {
			if err := do(offset, r.chunk[from:from+n]); err != nil {
				return err
			}
		}
		offset, size = offset+n, size-n
	}
	return nil
}

// load reads a chunk and checks it.
func (r *chunkReader) load(i uint64) error {
	at := i * chunkSize
	b := r.chunk[:min(r.size-at, chunkSize)]
	r.index, r.read, r.hole = i, true, len(b) == chunkSize && !hasData(r.file, int64(at), int64(at)+chunkSize)
	if r.hole {
		b = r.summer.zeros
	} else if _, err := r.file.ReadAt(b, int64(at)); err != nil {
		return fmt.Errorf("read %s: %w", r.file.Name(), err)
	}
	if r.summer.sum(b) != r.sums.get(i) {
		return changed(r.file, b, at)
	}
	return nil
}

// changed says which bytes of a file aren't what was written.
func changed(f *os.File, b []byte, at uint64) error {
	return &CorruptError{f.Name(), fmt.Sprintf("the %d bytes at %#x aren't what was written", len(b), at)}
}
