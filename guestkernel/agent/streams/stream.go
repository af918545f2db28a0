// Package streams takes the connections that carry bytes between the host and
// the guest, and hands each to whoever it is for.
//
// A connection starts with a line that says what it is for. For those of
// processes and files it is "bulkhead-stdio/1 ID STREAM\n"; they may come before
// or while somebody waits for them, and a [Hub] brings the two together.
package streams

import (
	"net"
	"syscall"
)

// Conn is a connection with a host that can be closed in one direction.
type Conn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// Stream is a connection past its first line. Whoever has it closes it.
type Stream struct {
	Conn
	rest []byte // what came with the line
}

// Read reads what follows the line. It has one caller at a time.
func (s *Stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
