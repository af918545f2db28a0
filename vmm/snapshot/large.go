package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// large is a file that is written, checked and read by chunks, and open.
type large struct {
	name string
	file *os.File
	size uint64
	sums chunks
}

// writeMemory writes what mem has to f, which is empty. Nobody else may write to
// mem.
func writeMemory(ctx context.Context, f *os.File, mem *memory.Memory) (*chunkWriter, error) {
	w, err := newChunkWriter(ctx, f, mem.Size())
	if err != nil {
		return nil, err
	}
	base := uint64(0)
	for _, r := range mem.Regions() {
		put := func(from, to uint64) error {
			return mem.View(r, from, to, func(from uint64, b []byte) error { return w.put(base+from, b) })
		}
		if mem.Backed() {
			err = put(0, r.Size)
		} else {
			err = mem.Own(r, put)
		}
		if err != nil {
			return nil, err
		}
		base += r.Size
	}
	return w, w.flush()
}

// writeCopy writes what src has to f, which is empty. Nobody may write to src.
func writeCopy(ctx context.Context, f, src *os.File) (*chunkWriter, error) {
	size, err := src.Seek(0, io.SeekEnd) // of a block device, too
	if err != nil {
		return nil, fmt.Errorf("size of %s: %w", src.Name(), err)
	}
	w, err := newChunkWriter(ctx, f, uint64(size))
	if err != nil {
		return nil, err
	}
	buf := make([]byte, chunkSize)
	for at := int64(0); at < size; at += chunkSize {
		if !hasData(src, at, at+chunkSize) {
			continue
		}
		b := buf[:min(size-at, chunkSize)]
		if _, err := src.ReadAt(b, at); err != nil {
			return nil, fmt.Errorf("read %s: %w", src.Name(), err)
		}
		if err := w.put(uint64(at), b); err != nil {
			return nil, err
		}
	}
	return w, w.flush()
}

// verifyLarge reads a file of size bytes and checks it against its sums. Holes are
// zeroes without being read.
func verifyLarge(f *os.File, size uint64, sums chunks) error {
	s := newSummer()
	buf := make([]byte, chunkSize)
	none := s.sum(s.zeros)
	for i := range countChunks(size) {
		at := i * chunkSize
		b := buf[:min(size-at, chunkSize)]
		sum := none
		if len(b) < chunkSize || hasData(f, int64(at), int64(at)+chunkSize) {
			if _, err := f.ReadAt(b, int64(at)); err != nil {
				return fmt.Errorf("read %s: %w", f.Name(), err)
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
