package vsock

import (
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// maxPayload bounds one packet to the guest; Linux takes up to 64 KiB.
const maxPayload = 64 << 10

// owesGuest reports whether there is anything to send, and it may be sent.
func (e *engine) owesGuest() bool {
	return e.notice.phase == noNotice && (!e.replies.empty() || e.ready.first != nil)
}

// toGuest sends a burst of packets, as far as the guest has made room.
func (e *engine) toGuest() error {
	defer e.rx.Flush()
	for range burst {
		if !e.rxWork || !e.owesGuest() {
			return nil
		}
		ok, err := e.rx.Pop(&e.rxChain)
		if err != nil {
			return err
		}
		if !ok {
			e.rxWork = e.rx.EnableKicks()
			continue
		}
		if e.rxChain.WriteLen() <= headerSize {
			return &virtqueue.ProtocolError{Section: "5.10.6.4", What: "receive buffer with no room for data"}
		}
		if !e.send(&e.rxChain) {
			e.rx.Undo() // there was nothing to send after all
		}
	}
	return nil
}

// send fills one receive buffer. It reports false if nothing was left to send.
func (e *engine) send(chain *virtqueue.Chain) bool {
	if !e.replies.empty() {
		e.put(chain, e.replies.pop())
		return true
	}
	// Whoever has a turn and turns out to have nothing loses it, so that this
	// ends.
	for c := e.ready.pop(); c != nil; c = e.ready.pop() {
		sent := e.sendFor(c, chain)
		e.settle(c)
		if sent {
			return true
		}
	}
	return false
}

// sendFor sends the next packet of c, if there is one.
func (e *engine) sendFor(c *conn, chain *virtqueue.Chain) bool {
	if o := c.nextOwed(); o != 0 {
		c.owed &^= o
		e.sendOwed(c, o, chain)
		return true
	}
	return c.hasData() && e.sendData(c, chain)
}

// nextOwed returns the most urgent packet that c owes, 0 if none. A shutdown
// waits until all data is through.
func (c *conn) nextOwed() owed {
	o := c.owed & -c.owed
	if o == oweShutdown && c.hasData() {
		return 0
	}
	return o
}

func (e *engine) sendOwed(c *conn, o owed, chain *virtqueue.Chain) {
	h := e.header(c)
	switch o {
	case oweReset:
		h.op = opReset
	case oweRequest:
		h.op = opRequest
	case oweResponse:
		h.op = opResponse
	case oweCreditUpdate:
		h.op = opCreditUpdate
	case oweCreditRequest:
		h.op = opCreditRequest
	case oweShutdown:
		h.op = opShutdown
		h.flags = c.shutdownFlags()
		c.told |= h.flags
	}
	e.put(chain, &h)
	if o == oweReset {
		e.leave(c)
	}
}

// sendData reads from the socket straight into the receive buffer.
func (e *engine) sendData(c *conn, chain *virtqueue.Chain) bool {
	room := min(chain.WriteLen()-headerSize, int(min(c.free(), maxPayload)))
	e.view = iovec.Cut(e.view[:0], chain.Writable, headerSize, room)
	n, err := iovec.Readv(c.fd, e.view)
	switch {
	case err == unix.EAGAIN:
		c.readFD = false
		return false
	case err != nil:
		c.hostEOF, c.hostGone = true, true
		return false
	case n == 0:
		c.hostEOF = true
		return false
	}
	h := e.header(c)
	h.op, h.len = opData, uint32(n)
	c.sentCount += uint32(n)
	e.put(chain, &h)
	return true
}

// header returns a packet of c, with what the guest is to know about credit.
func (e *engine) header(c *conn) header {
	c.toldFwdCount = c.fwdCount
	return header{
		srcCID: HostCID, dstCID: e.cid,
		srcPort: c.hostPort, dstPort: c.guestPort,
		kind: typeStream, bufAlloc: c.window, fwdCount: c.fwdCount,
	}
}

// put writes the header and gives the buffer to the guest.
func (e *engine) put(chain *virtqueue.Chain, h *header) {
	var raw [headerSize]byte
	h.encode(&raw)
	chain.Write(raw[:])
	e.rx.Push(chain.Head, headerSize+h.len)
}
