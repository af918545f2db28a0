// Package stdio carries the standard streams of processes between them and
// the host, as raw bytes on the connections of package streams.
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
//
// # Tied
//
// A process may be tied to the host's end of "stdio": when that is closed
// altogether, whoever started the process is told. For this to be seen the
// guest's end of file comes when the process has ended, even if it has closed
// its output before.
//
// # Restored
//
// In a machine that was restored from a snapshot all this goes on over the
// connections of another host, as package streams has it: a connection that breaks
// by that is none of which any of the above is said. What the process writes goes on
// where it was cut off; what the first host had sent and nobody had read is lost.
package stdio

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

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
