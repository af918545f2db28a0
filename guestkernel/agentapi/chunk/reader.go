// Package chunk frames what a file holds on a connection: four bytes of length,
// most significant first, and as many of content, up to 64 KiB. A chunk of no
// bytes ends the file; a connection that ends without it was cut off.
package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxContent is the most content of one chunk, in bytes.
const MaxContent = 64 << 10

const headerSize = 4

var (
	// ErrCut says that the connection ended before the file did.
	ErrCut = errors.New("the connection was cut off before the end of the file")
	// ErrTooLong says that what comes isn't in chunks.
	ErrTooLong = errors.New("a chunk is too long")
)

// Reader reads what a file holds.
type Reader struct {
	r    io.Reader
	left uint32 // of the chunk
	err  error  // that it ended with
}

// NewReader returns a reader of the chunks that come from r. It takes nothing
// that is behind the last.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Read returns io.EOF at the file's end, an error that wraps ErrCut if there is
// none, and one that wraps ErrTooLong for what can't be a chunk.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err == nil && r.left == 0 {
		r.err = r.next()
	}
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(len(p), int(r.left))])
	r.left -= uint32(n)
	if err != nil {
		r.err = cut(err) // in or behind a chunk that isn't the last
	}
	return n, r.err
}

// next reads a header.
func (r *Reader) next() error {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return cut(err)
	}
	switch r.left = binary.BigEndian.Uint32(header[:]); {
	case r.left == 0:
		return io.EOF
	case r.left > MaxContent:
		return fmt.Errorf("%w: %d bytes, %d is the most", ErrTooLong, r.left, MaxContent)
	}
	return nil
}

func cut(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // nobody is to take it for the file's end
	}
	return fmt.Errorf("%w: %w", ErrCut, err)
}
