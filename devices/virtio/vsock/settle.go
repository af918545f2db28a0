package vsock

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
)

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
	before := c.fwdCount
	c.flush()
	// A guest that waits for room is told as soon as there is plenty.
	if c.fwdCount != before && c.fwdCount-c.toldFwdCount >= bufAlloc/2 {
		e.owe(c, oweCreditUpdate)
	}
	e.settle(c)
}

// settle draws the conclusions after anything happened to c: what to tell the
// guest, whether c is in turn, whether it is over.
func (e *engine) settle(c *conn) {
	if c.guestGone {
		if len(c.pending) == 0 || c.hostGone {
			e.remove(c)
		}
		return
	}
	if !c.established && c.hostGone {
		e.owe(c, oweReset) // it didn't wait for the answer
		return
	}
	if c.established && c.shutdownFlags()&^c.told != 0 {
		e.owe(c, oweShutdown)
		if c.shutdownFlags() == shutdownBoth {
			e.setDeadline(c) // for the guest to answer
		}
	}
	// Section 5.10.6.5: who learns that its peer is done with both
	// directions confirms with a reset.
	if c.guestShutdown == shutdownBoth && len(c.pending) == 0 {
		e.owe(c, oweReset)
	}
	if c.established && c.readFD && !c.hostEOF && c.credit() == 0 && !c.askedCredit {
		c.askedCredit = true
		e.owe(c, oweCreditRequest)
	}
	e.readyIfData(c)
}

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

// owe notes a packet for the guest.
func (e *engine) owe(c *conn, o owed) {
	c.owed |= o
	e.enqueue(c)
}

func (e *engine) readyIfData(c *conn) {
	if c.hasData() {
		e.enqueue(c)
	}
}

func (e *engine) enqueue(c *conn) {
	if !c.queued {
		c.queued = true
		e.ready = append(e.ready, c)
	}
}

// remove forgets c.
func (e *engine) remove(c *conn) {
	if e.conns[c.key] != c {
		return
	}
	delete(e.conns, c.key)
	delete(e.tokens, c.token)
	unix.Close(c.fd)
	c.let(len(c.pending))
	c.owed = 0
	e.acceptAgain()
}

// tick is how often deadlines are looked at.
const tick = time.Second

var noDeadline time.Time

// setDeadline gives whoever c waits for some time.
func (e *engine) setDeadline(c *conn) {
	if c.deadline.IsZero() {
		c.deadline = time.Now().Add(lingerTime)
		e.timers = true
	}
}

// expire ends what has waited too long.
func (e *engine) expire(now time.Time) {
	e.timers = e.acceptOff
	for _, c := range e.conns {
		switch {
		case c.deadline.IsZero():
		case now.Before(c.deadline):
			e.timers = true
		case c.guestGone:
			e.remove(c)
		default:
			c.deadline = noDeadline
			e.owe(c, oweReset)
		}
	}
	for _, s := range e.tokens {
		g, ok := s.(*greeting)
		switch {
		case !ok:
		case now.Before(g.deadline):
			e.timers = true
		default:
			e.drop(g)
		}
	}
	e.acceptAgain()
}
