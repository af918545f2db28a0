package vsock

import (
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
)

// add registers a connection over s.
func (e *engine) add(k key, s socket, d *door, p phase) *conn {
	c := &conn{key: k, socket: s, door: d, phase: p}
	c.owner = c
	c.window = smallWindow
	// It fails only if the host process has gone.
	unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, smallSendBuffer)
	e.conns[k] = c
	return c
}

// event implements source: the host's socket became readable or writable, or
// its other end was closed.
func (c *conn) event(e *engine, ready uint32) {
	if ready&poll.In != 0 {
		c.readFD = true
	}
	if ready&poll.Out != 0 {
		c.writeFD = true
	}
	if ready&(poll.Hangup|poll.Error) != 0 {
		c.readFD, c.hostGone = true, true // what it sent before can still be read
	}
	e.flush(c)
	// A guest that waits for room is told as soon as there is plenty.
	if c.phase == open && c.stale() {
		e.owe(c, oweCreditUpdate)
	}
	e.settle(c)
}

// settle draws the conclusions after anything happened to c: what to tell the
// guest, whether c is in turn, whether it is over.
func (e *engine) settle(c *conn) {
	switch c.phase {
	case asked:
		if c.hostGone {
			e.reset(c) // it didn't wait for the answer
		}
	case open:
		e.settleOpen(c)
	case failing:
		if c.delivered() {
			e.hangUp(&c.socket)
		}
	case left:
		if c.delivered() {
			e.remove(c)
		}
	}
	if c.owed != 0 || c.hasData() {
		e.ready.push(c)
	}
}

func (e *engine) settleOpen(c *conn) {
	if flags := c.shutdownFlags(); flags&^c.told != 0 {
		c.owed |= oweShutdown
	} else if flags == shutdownBoth && c.timer.index == 0 {
		e.timers.set(&c.timer, e.linger) // for the guest to answer
	}
	// Section 5.10.6.5: who learns that its peer is done with both
	// directions confirms with a reset.
	if c.guestShutdown == shutdownBoth && c.delivered() {
		e.reset(c)
		return
	}
	// The guest answers at once, and tells of room by itself later: asking
	// again before that would only keep it busy.
	if c.readFD && !c.hostEOF && c.free() == 0 && !c.queried {
		c.queried = true
		c.owed |= oweCreditRequest
	}
}

// owe notes a packet for the guest.
func (e *engine) owe(c *conn, o owed) {
	c.owed |= o
	e.ready.push(c)
}

// reset gives c up: the guest is to hear of it, and the host process gets what
// was sent to it until now.
func (e *engine) reset(c *conn) {
	if c.owed&oweRequest != 0 { // the guest hasn't heard of it at all
		e.leave(c)
		return
	}
	e.timers.stop(&c.timer)
	c.phase, c.owed = failing, oweReset
	c.guestShutdown = shutdownBoth
	e.flush(c)
	e.settle(c)
}

// leave ends the guest's part in c. The guest may use the same ports for
// another one at once.
func (e *engine) leave(c *conn) {
	delete(e.conns, c.key)
	e.ready.remove(c)
	e.timers.stop(&c.timer)
	c.phase, c.owed = left, 0
	c.guestShutdown = shutdownBoth
	e.flush(c)
	e.settle(c)
}

// remove forgets c, which has left.
func (e *engine) remove(c *conn) {
	c.phase = gone
	c.pending.drop(&e.store, c.pending.size)
	e.hangUp(&c.socket)
	e.shrink(c)
	e.close()
}
