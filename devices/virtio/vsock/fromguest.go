package vsock

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// fromGuest serves a burst of packets of the transmit queue.
func (e *engine) fromGuest() error {
	defer e.tx.Flush()
	for range burst {
		if e.stalled() {
			return nil
		}
		ok, err := e.tx.Pop(&e.txChain)
		if err != nil {
			return err
		}
		if !ok {
			e.txWork = e.tx.EnableKicks()
			return nil
		}
		if err := e.packet(&e.txChain); err != nil {
			return err
		}
		e.tx.Push(e.txChain.Head, 0)
	}
	return nil
}

// stalled reports whether the guest isn't listened to for now: it is to take
// what it is owed first, or host processes are to read what it sent.
func (e *engine) stalled() bool {
	return len(e.replies) >= maxReplies || len(e.ready) >= maxReady || e.held >= maxHeld
}

// packet serves one packet of the guest's.
func (e *engine) packet(chain *virtqueue.Chain) error {
	var raw [headerSize]byte
	if chain.Read(raw[:]) < headerSize {
		return &virtqueue.ProtocolError{Section: "5.10.6", What: "packet without a header"}
	}
	var h header
	h.decode(&raw)
	if int64(h.len) > int64(chain.ReadLen()-headerSize) {
		return &virtqueue.ProtocolError{Section: "5.10.6",
			What: fmt.Sprintf("packet of %d bytes announces %d", chain.ReadLen()-headerSize, h.len)}
	}
	if h.srcCID != e.cid {
		return nil // section 5.10.6.4.1: forged; not even a reset goes back
	}
	if h.dstCID != HostCID || h.kind != typeStream {
		e.refuse(&h)
		return nil
	}
	c := e.conns[key{guestPort: h.srcPort, hostPort: h.dstPort}]
	if c == nil {
		e.stray(&h)
		return nil
	}
	c.peerBufAlloc, c.peerFwdCount = h.bufAlloc, h.fwdCount
	c.askedCredit = false
	e.received(c, &h, chain)
	e.settle(c)
	return nil
}

// stray serves a packet that belongs to no connection: a request for one, or
// something to be refused.
func (e *engine) stray(h *header) {
	if h.op != opRequest || len(e.conns) >= maxConns {
		e.refuse(h)
		return
	}
	fd, err := dial(e.listeners, h.dstPort)
	if err != nil {
		e.refuse(h)
		return
	}
	c, err := e.add(key{h.srcPort, h.dstPort}, fd)
	if err != nil {
		e.refuse(h)
		return
	}
	c.established = true
	c.peerBufAlloc, c.peerFwdCount = h.bufAlloc, h.fwdCount
	e.owe(c, oweResponse)
}

// received serves a packet of connection c.
func (e *engine) received(c *conn, h *header, chain *virtqueue.Chain) {
	switch h.op {
	case opResponse:
		e.accepted(c)
	case opReset:
		e.guestLeft(c)
	case opShutdown:
		c.guestShutdown |= h.flags & shutdownBoth
		c.flush()
		if c.guestShutdown&shutdownReceive != 0 {
			unix.Shutdown(c.fd, unix.SHUT_RD) // fails only if the host process has gone
		}
	case opData:
		e.data(c, h, chain)
	case opCreditUpdate: // taken from every header
	case opCreditRequest:
		e.owe(c, oweCreditUpdate)
	default: // a second request, or an unknown operation
		e.owe(c, oweReset)
	}
}

// data passes the guest's bytes on.
func (e *engine) data(c *conn, h *header, chain *virtqueue.Chain) {
	n := int(h.len)
	// Section 5.10.6.3: nobody sends more than the receiver has room for.
	if !c.established || c.guestShutdown&shutdownSend != 0 || len(c.pending)+n > bufAlloc {
		e.owe(c, oweReset)
		return
	}
	e.view = iovec.Cut(e.view[:0], chain.Readable, headerSize, n)
	c.forward(e.view, n)
	if c.fwdCount-c.toldFwdCount >= bufAlloc/2 {
		e.owe(c, oweCreditUpdate)
	}
}

// accepted completes a connection that the host asked for.
func (e *engine) accepted(c *conn) {
	if c.established {
		e.owe(c, oweReset)
		return
	}
	c.established = true
	c.deadline = noDeadline
	n := greet(c)
	c.fwdCount -= uint32(n) // the greeting isn't the guest's
	c.toldFwdCount = c.fwdCount
	e.readyIfData(c)
}

// guestLeft leaves c to deliver what the guest sent before its end, however
// long the host process takes to read it.
func (e *engine) guestLeft(c *conn) {
	c.guestGone = true
	c.guestShutdown = shutdownBoth
	c.deadline = noDeadline
	c.flush()
}

// refuse owes the sender a reset; section 5.10.6.4.1.
func (e *engine) refuse(h *header) {
	if h.op == opReset {
		return
	}
	e.replies = append(e.replies, header{
		srcCID: h.dstCID, dstCID: h.srcCID,
		srcPort: h.dstPort, dstPort: h.srcPort,
		kind: h.kind, op: opReset,
	})
}

// add registers a connection over fd, which it owns from now on.
func (e *engine) add(k key, fd int) (*conn, error) {
	c := &conn{key: k, fd: fd, total: &e.held}
	token, err := e.watch(fd, poll.In|poll.Out|poll.Edge, c)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.token = token
	e.conns[k] = c
	return c, nil
}
