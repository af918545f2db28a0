package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// errUnasked is what a connection to an agent ends with that answers more often
// than it is asked.
var errUnasked = errors.New("the guest answers what it wasn't asked")

// readTime is how long a guest may take to read a request. The client holds a
// lock meanwhile, and looks at no deadline of its own.
const readTime = 10 * time.Second

// answers is a connection to a ttrpc server that isn't trusted. A server that
// doesn't read loses the connection. Each request has one answer; what comes
// beyond that ends the connection, because the client would log it message by
// message, at the guest's speed.
type answers struct {
	net.Conn
	asked    atomic.Int64
	out, in  frames // of Write, of Read: each has one caller at a time
	answered int64
}

// Write implements net.Conn.
func (a *answers) Write(p []byte) (int, error) {
	a.asked.Add(a.out.count(p))
	a.Conn.SetWriteDeadline(time.Now().Add(readTime)) // fails only once closed
	n, err := a.Conn.Write(p)
	if err != nil {
		a.Conn.Close() // cut off within a message, it is of no use any more
	}
	return n, err
}

// Read implements net.Conn.
func (a *answers) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if a.answered += a.in.count(p[:n]); a.answered > a.asked.Load() {
		return 0, fmt.Errorf("%w: %d answers to %d requests", errUnasked, a.answered, a.asked.Load())
	}
	return n, err
}

// frames counts messages in a stream of bytes, whichever way it is cut: ten
// bytes of header, which begins with the length of what follows it.
type frames struct {
	header [10]byte
	have   int    // of the header
	rest   uint32 // of the message, after its header
}

// count returns how many headers end in p, which is what comes next.
func (f *frames) count(p []byte) (n int64) {
	for len(p) > 0 {
		if f.rest > 0 {
			skip := min(f.rest, uint32(len(p)))
			f.rest -= skip
			p = p[skip:]
			continue
		}
		took := copy(f.header[f.have:], p)
		f.have += took
		p = p[took:]
		if f.have == len(f.header) {
			f.have, f.rest = 0, binary.BigEndian.Uint32(f.header[:])
			n++
		}
	}
	return n
}
