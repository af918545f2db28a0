package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	headerMagic   = "bulkhead-stdio/1"
	headerLimit   = 128 // bytes, the newline included
	headerTimeout = 10 * time.Second
)

// key names a connection.
type key struct {
	id, stream string
}

var errHeader = errors.New("not a header line of " + headerMagic)

// readHeader returns what the connection is for. The caller closes it on
// error.
func readHeader(c Conn, timeout time.Duration) (key, *stream, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return key{}, nil, err
	}
	buf := make([]byte, headerLimit)
	for n := 0; n < len(buf); {
		m, err := c.Read(buf[n:])
		n += m
		if line, rest, found := bytes.Cut(buf[:n], []byte("\n")); found {
			k, err := parseHeader(string(line))
			return k, &stream{c, rest}, errors.Join(err, c.SetReadDeadline(time.Time{}))
		}
		if err != nil {
			return key{}, nil, fmt.Errorf("%w: %w", errHeader, err)
		}
	}
	return key{}, nil, errHeader
}

func parseHeader(line string) (key, error) {
	f := strings.Split(line, " ")
	if len(f) != 3 || f[0] != headerMagic || f[2] != streamStdio && f[2] != streamStderr {
		return key{}, errHeader
	}
	return key{f[1], f[2]}, CheckID(f[1])
}
