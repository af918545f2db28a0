package snapshot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// large is a file that is written, checked and read by chunks, and open.
type large struct {
	name     string
	file     *os.File
	size     uint64
	sums     chunks
	verified verifiedFile // nil: the directory can't be written to
}

// Close frees the descriptors.
func (l *large) Close() error {
	err := l.file.Close()
	if l.verified.File != nil {
		err = errors.Join(err, l.verified.Close())
	}
	return err
}

// verifyLarge reads a file of size bytes and checks it against its sums. Holes are
// zeroes without being read.
func verifyLarge(f *os.File, size uint64, sums chunks) error {
	r := newChunkReader(&large{file: f, size: size, sums: sums})
	for i := range countChunks(size) {
		if err := r.load(i); err != nil {
			return err
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
