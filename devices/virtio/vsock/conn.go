package vsock

import (
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// key identifies a connection.
type key struct {
	guestPort, hostPort uint32
}

// phase is how far a connection has come.
type phase uint8

const (
	// dialing: the guest asked, and the host process has no room yet for one
	// more who waits for it.
	dialing phase = iota
	// asked: the host process asked, and the guest is to answer.
	asked
	// open: each side may send until it shuts its direction down.
	open
	// failing: the guest is owed a reset and isn't listened to any more.
	failing
	// left: the guest has no part in it any more. What it sent before is
	// passed on, however long the host process takes.
	left
	// gone: nobody has.
	gone
)

// conn is one connection: a guest port, a host port and a unix socket. The
// engine's goroutine owns it.
type conn struct {
	key
	socket
	timer
	place // among the turns
	credit

	phase phase
	door  *door
	tries int // while dialing

	owed    owed // packets, as soon as there is room
	pending backlog
	readFD  bool // the socket may have something
	writeFD bool // the socket may take something

	hostEOF       bool   // the host process sends no more
	hostGone      bool   // nor does it read
	guestShutdown uint32 // the guest's shutdown flags
	told          uint32 // the shutdown flags sent to the guest
	finished      bool   // the host process was told that no more will come
}

// owed is a set of packets to send, the most urgent lowest.
type owed uint8

const (
	oweReset owed = 1 << iota
	oweRequest
	oweResponse
	oweCreditUpdate
	oweCreditRequest
	oweShutdown
)

// hasData reports whether there may be bytes that the guest will take.
func (c *conn) hasData() bool {
	return c.phase == open && c.readFD && !c.hostEOF && c.guestShutdown&shutdownReceive == 0 && c.free() > 0
}

// delivered reports whether nothing is held that the host process may yet take.
func (c *conn) delivered() bool { return c.pending.size == 0 || c.hostGone }

// shutdownFlags is what the host's side won't do any more.
func (c *conn) shutdownFlags() uint32 {
	flags := uint32(0)
	if c.hostEOF {
		flags |= shutdownSend
	}
	if c.hostGone {
		flags |= shutdownReceive
	}
	return flags
}

// forward passes n bytes from the guest on, straight from its memory as far as
// the host process takes them. The rest is held.
func (e *engine) forward(c *conn, bufs [][]byte, n int) {
	sent := 0
	if c.writeFD && c.pending.size == 0 && !c.hostGone {
		sent = c.write(bufs)
	}
	if c.hostGone {
		c.fwdCount += uint32(n - sent) // nobody will read it
		return
	}
	if sent < n {
		c.pending.put(&e.store, bufs, sent)
		e.flush(c)
	}
}

// flush passes on what is held.
func (e *engine) flush(c *conn) {
	for c.writeFD && c.pending.size > 0 && !c.hostGone {
		e.view = c.pending.view(e.view[:0])
		c.pending.drop(&e.store, c.write(e.view))
	}
	if c.hostGone {
		c.fwdCount += uint32(c.pending.size)
		c.pending.drop(&e.store, c.pending.size)
	}
	if c.pending.size == 0 && c.guestShutdown&shutdownSend != 0 && !c.finished {
		c.finished = true
		unix.Shutdown(c.fd, unix.SHUT_WR) // fails only if the host process has gone
	}
}

// write makes one attempt and returns how much the host process took.
func (c *conn) write(bufs [][]byte) int {
	n, err := iovec.Writev(c.fd, bufs)
	switch err {
	case nil:
		c.fwdCount += uint32(n)
		return n
	case unix.EAGAIN:
		c.writeFD = false
	default: // EPIPE, ECONNRESET: it closed the socket
		c.hostGone = true
	}
	return 0
}
