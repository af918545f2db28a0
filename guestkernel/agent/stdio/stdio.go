// Package stdio carries the standard streams of processes between them and
// the host, as raw bytes on connections of their own.
//
// A connection starts with the line "bulkhead-stdio/1 ID STREAM\n". It may
// come before or while somebody waits for it; a [Hub] brings the two together.
//
// # Without a terminal
//
// The process has real pipes, as programs reopen /dev/stdout and ask for the
// kind of their output. When it closes its input, what the host still sends is
// thrown away. When it has ended, what it wrote is delivered even if a child
// of it keeps the pipe open; what comes later is not.
//
// # With a terminal
//
// Everything goes over one connection. The host's end of file is typed as the
// terminal's end-of-file character (twice after an unfinished line, as a
// person would), a connection that is gone altogether hangs the terminal up.
package stdio

import (
	"fmt"
	"net"
	"syscall"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const maxID = 64

// CheckID fails unless id is 1 to 64 letters, digits, '-', '_' and '.'.
func CheckID(id string) error {
	if len(id) == 0 || len(id) > maxID {
		return fail.Errorf(fail.Invalid, "a process ID of %d characters: it needs 1 to %d", len(id), maxID)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fail.Errorf(fail.Invalid, "process ID %q: only letters, digits, '-', '_' and '.' are allowed", id)
		}
	}
	return nil
}

// Conn is a connection with a host that can be closed in one direction.
type Conn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// Names of the connections of a process.
const (
	streamStdio  = "stdio"
	streamStderr = "stderr"
)

// stream is a connection past its header line.
type stream struct {
	Conn
	rest []byte // what came with the header
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Size is that of a terminal, in characters.
type Size struct {
	Rows, Columns uint32
}

func (s Size) check() error {
	if s.Rows > 0xffff || s.Columns > 0xffff {
		return fail.Errorf(fail.Invalid, "a terminal of %d rows and %d columns: 65535 is the most", s.Rows, s.Columns)
	}
	return nil
}

func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Columns, s.Rows) }
