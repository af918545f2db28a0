package snapshot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// memoryWriter writes a memory file chunk by chunk, in order, and leaves out
// pages of zeroes.
type memoryWriter struct {
	f      *os.File
	sums   chunks
	summer *summer
	stored uint64

	chunk  []byte // the one that is being filled; beyond what was put, zeroes
	index  uint64 // of it
	filled bool   // it has something
}

// writeMemory writes what mem has to f, which is empty. Nobody else may write to
// mem. It returns the sums of the file's chunks and how many bytes were stored.
func writeMemory(f *os.File, mem *memory.Memory) (sums chunks, stored uint64, err error) {
	size := mem.Size()
	if err := f.Truncate(int64(size)); err != nil {
		return nil, 0, fmt.Errorf("make the memory file: %w", err)
	}
	w := &memoryWriter{f: f, sums: newChunks(size), summer: newSummer(), chunk: make([]byte, chunkSize)}
	none := w.summer.sum(w.summer.zeros)
	for i := range countChunks(size) {
		w.sums.set(i, none)
	}
	if rest := size % chunkSize; rest > 0 {
		w.sums.set(size/chunkSize, w.summer.sum(w.summer.zeros[:rest]))
	}
	base := uint64(0)
	for _, r := range mem.Regions() {
		put := func(from, to uint64) error { return w.put(base+from, r.Bytes[from:to]) }
		if mem.Backed() {
			err = put(0, r.Size)
		} else {
			err = mem.Own(r, put)
		}
		if err != nil {
			return nil, 0, err
		}
		base += r.Size
	}
	return w.sums, w.stored, w.flush(size)
}

// put takes bytes at an offset, which only ever grows.
func (w *memoryWriter) put(offset uint64, b []byte) error {
	for len(b) > 0 {
		if i := offset / chunkSize; i != w.index {
			if err := w.flush(w.index*chunkSize + chunkSize); err != nil {
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

// flush writes the chunk, which ends at or before an offset.
func (w *memoryWriter) flush(end uint64) error {
	if !w.filled {
		return nil
	}
	start := w.index * chunkSize
	b := w.chunk[:min(end-start, chunkSize)]
	w.sums.set(w.index, w.summer.sum(b))
	for from := 0; from < len(b); {
		to := w.runEnd(b, from)
		if page := b[from:to]; !w.summer.isZero(page[:min(pageSize, len(page))]) {
			if _, err := w.f.WriteAt(page, int64(start)+int64(from)); err != nil {
				return fmt.Errorf("write the guest's memory: %w", err)
			}
			w.stored += uint64(len(page))
		}
		from = to
	}
	clear(w.chunk)
	w.filled = false
	return nil
}

// runEnd returns where the pages end that are zero or not as the one at from is.
func (w *memoryWriter) runEnd(b []byte, from int) int {
	zero := w.summer.isZero(b[from:min(from+pageSize, len(b))])
	to := from + pageSize
	for to < len(b) && w.summer.isZero(b[to:min(to+pageSize, len(b))]) == zero {
		to += pageSize
	}
	return min(to, len(b))
}

// verifyMemory reads a memory file and checks it against its sums. Holes are
// zeroes without being read.
func verifyMemory(f *os.File, size uint64, sums chunks) error {
	s := newSummer()
	buf := make([]byte, chunkSize)
	none := s.sum(s.zeros)
	for i := range countChunks(size) {
		at := i * chunkSize
		b := buf[:min(size-at, chunkSize)]
		sum := none
		if len(b) < chunkSize || hasData(f, int64(at), int64(at)+chunkSize) {
			if _, err := f.ReadAt(b, int64(at)); err != nil {
				return fmt.Errorf("read the guest's memory: %w", err)
			}
			sum = s.sum(b)
		}
		if sum != sums.get(i) {
			return &CorruptError{f.Name(), fmt.Sprintf("the %d bytes at %#x aren't what was written", len(b), at)}
		}
	}
	return nil
}

// hasData reports whether a range of a file may have anything but a hole.
func hasData(f *os.File, from, to int64) bool {
	at, err := unix.Seek(int(f.Fd()), from, unix.SEEK_DATA)
	if err == unix.ENXIO {
		return false // no data behind from
	}
	return err != nil || at < to
}
