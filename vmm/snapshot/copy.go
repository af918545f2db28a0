package snapshot

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Copy adds a copy of what is behind a device: the file at path, to which nobody
// may write meanwhile. It gives up when ctx is done. Where the file system shares
// blocks, Publish sees to the sums.
func (w *Writer) Copy(ctx context.Context, device, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("copy %s's: %w", device, err)
	}
	defer src.Close()
	l, err := w.make(device)
	if err != nil {
		return err
	}
	size, ok, err := clone(l.file, src)
	switch {
	case err != nil:
		return err
	case ok:
		l.size = size
		w.sums = append(w.sums, func() (err error) {
			l.sums, err = sumsOf(ctx, l.file, size)
			return err
		})
	default:
		c, err := writeCopy(ctx, l.file, src)
		if err != nil {
			return err
		}
		l.is(c)
	}
	w.reached(device)
	return nil
}

// clone has the file system share src's blocks with f, which is empty. It reports
// false if that can't. Where it can't, copy_file_range(2) would be no better than
// writeCopy: it copies as well, and pages of zeroes, too.
func clone(f, src *os.File) (size uint64, ok bool, err error) {
	s, err := fstat(src)
	if err != nil || s.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false, err
	}
	if unix.IoctlFileClone(int(f.Fd()), int(src.Fd())) != nil {
		return 0, false, nil
	}
	return uint64(s.Size), true, nil
}

// sumsOf makes the sums of a file that was written.
func sumsOf(ctx context.Context, f *os.File, size uint64) (chunks, error) {
	sums, s := newChunks(size), newSummer()
	buf := make([]byte, chunkSize)
	none := s.sum(s.zeros)
	for i := range countChunks(size) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name(), context.Cause(ctx))
		}
		at := i * chunkSize
		b := buf[:min(size-at, chunkSize)]
		sum := none
		if len(b) < chunkSize || hasData(f, int64(at), int64(at)+chunkSize) {
			if _, err := f.ReadAt(b, int64(at)); err != nil {
				return nil, fmt.Errorf("read %s: %w", f.Name(), err)
			}
			sum = s.sum(b)
		}
		sums.set(i, sum)
	}
	return sums, nil
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
		if ctx.Err() != nil { // over holes, too
			return nil, fmt.Errorf("write %s: %w", f.Name(), context.Cause(ctx))
		}
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
