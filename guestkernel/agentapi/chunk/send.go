package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Send sends all that r has, and the end of the file, to w. It returns how much
// that was. An error of w wraps ErrCut; one of r is returned as it is, and w is
// left without an end. buf is what it copies with, of 5 bytes at least.
func Send(w io.Writer, r io.Reader, buf []byte) (sent uint64, err error) {
	for {
		n, err := r.Read(buf[headerSize:min(len(buf), headerSize+MaxContent)])
		if n > 0 {
			if err := put(w, buf, n); err != nil {
				return sent, err
			}
			sent += uint64(n)
		}
		if errors.Is(err, io.EOF) {
			return sent, put(w, buf, 0)
		}
		if err != nil {
			return sent, err
		}
	}
}

// put sends one chunk, in one piece: n bytes, which are in buf behind the room
// for their header.
func put(w io.Writer, buf []byte, n int) error {
	binary.BigEndian.PutUint32(buf, uint32(n))
	if _, err := w.Write(buf[:headerSize+n]); err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return nil
}
