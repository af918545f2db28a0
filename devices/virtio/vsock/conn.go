package vsock

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
)

// bufAlloc is how many bytes of one connection the device holds for a host
// process that doesn't read: the credit the guest gets.
const bufAlloc = 256 << 10

// lingerTime is how long an end may take to do what the other waits for.
const lingerTime = 10 * time.Second

// key identifies a connection.
type key struct {
	guestPort, hostPort uint32
}

// conn is one connection: a guest port, a host port and a unix socket.
//
// Life: connecting (the host asked, the guest is to answer) or established;
// then each side may shut down one direction after the other; then gone. The
// engine's goroutine owns it.
type conn struct {
	key
	fd          int
	token       uint64
	established bool

	// What is to be sent to the guest as soon as there is room.
	owed    owed
	queued  bool // in the engine's ready list
	readFD  bool // the socket may have something
	writeFD bool // the socket may take something

	// Credit; section 5.10.6.3. Counters wrap around.
	peerBufAlloc, peerFwdCount uint32 // as the guest last said
	sentCount                  uint32 // bytes sent to the guest
	fwdCount                   uint32 // bytes passed on to the host process
	toldFwdCount               uint32 // fwdCount when the guest last heard of it
	askedCredit                bool

	pending []byte // for the host process, not yet taken
	total   *int   // of all connections' pending

	hostEOF       bool   // the host process sends no more
	hostGone      bool   // nor does it read
	guestShutdown uint32 // the guest's shutdown flags
	told          uint32 // the shutdown flags sent to the guest
	guestGone     bool   // only pending is left to deliver

	deadline time.Time // zero: none
}

// owed is a set of packets to send.
type owed uint8

const (
	oweRequest owed = 1 << iota
	oweResponse
	oweReset
	oweCreditUpdate
	oweCreditRequest
	oweShutdown
)

// credit is how many bytes the guest will take.
func (c *conn) credit() uint32 {
	inFlight := c.sentCount - c.peerFwdCount
	if inFlight > c.peerBufAlloc {
		return 0
	}
	return c.peerBufAlloc - inFlight
}

// hasData reports whether there may be bytes that the guest will take.
func (c *conn) hasData() bool {
	return c.readFD && !c.hostEOF && c.established && c.guestShutdown&shutdownReceive == 0 && c.credit() > 0
}

// forward passes bytes from the guest on, straight from its memory as far as
// the host process takes them. The rest is kept.
func (c *conn) forward(bufs [][]byte, n int) {
	sent := 0
	if c.writeFD && len(c.pending) == 0 && !c.hostGone {
		sent = c.write(bufs)
	}
	if c.hostGone {
		c.fwdCount += uint32(n - sent) // nobody will read it
		return
	}
	for _, b := range bufs {
		if sent >= len(b) {
			sent -= len(b)
			continue
		}
		c.keep(b[sent:])
		sent = 0
	}
}

// flush passes on what is pending.
func (c *conn) flush() {
	for c.writeFD && len(c.pending) > 0 && !c.hostGone {
		c.let(c.write([][]byte{c.pending}))
	}
	if c.hostGone {
		c.fwdCount += uint32(len(c.pending))
		c.let(len(c.pending))
	}
	if len(c.pending) == 0 && c.guestShutdown&shutdownSend != 0 && !c.hostGone {
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

// keep copies b to what is pending.
func (c *conn) keep(b []byte) {
	c.pending = append(c.pending, b...)
	*c.total += len(b)
}

// let drops the first n bytes of what is pending.
func (c *conn) let(n int) {
	c.pending = c.pending[n:]
	*c.total -= n
	if len(c.pending) == 0 {
		c.pending = nil // give the array back
	}
}
