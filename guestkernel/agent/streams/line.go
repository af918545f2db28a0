package streams

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// ErrNoLine says that a connection doesn't start with a line.
var ErrNoLine = errors.New("no line at the beginning of a connection")

// ReadLine takes the first line from c, which may have as many bytes as limit,
// its end included, and take as long as timeout. It returns the line without its
// end. The caller closes c in any case.
func ReadLine(c Conn, limit int, timeout time.Duration) (string, *Stream, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrNoLine, err)
	}
	buf := make([]byte, limit)
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		n += m
		if line, rest, found := bytes.Cut(buf[:n], []byte("\n")); found {
			return string(line), &Stream{c, rest}, c.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return "", nil, fmt.Errorf("%w: %w", ErrNoLine, err)
		}
	}
	return "", nil, fmt.Errorf("%w: more than %d bytes", ErrNoLine, limit)
}
