package vsock

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// fromGuest serves a burst of packets of the transmit queue. Section
// 5.10.6.1.2: whether the receive queue has room doesn't matter, as long as
// there is room for replies.
func (e *engine) fromGuest() error {
	defer e.tx.Flush()
	e.tx.DisableKicks()
	for range burst {
		if e.replies.full() {
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
	if c := e.conns[key{guestPort: h.srcPort, hostPort: h.dstPort}]; c != nil {
		e.received(c, &h, chain)
		e.settle(c)
		return nil
	}
	if h.op == opRequest {
		e.dial(&h)
	} else {
		e.refuse(&h)
	}
	return nil
}

// refuse owes the sender a reset; section 5.10.6.4.2 for an unknown type, and
// section 5.10.6.5 for all that no connection is there for. A driver that is
// yet to hear that its connections are gone needs to hear of none.
func (e *engine) refuse(h *header) {
	if h.op == opReset || e.notice.phase != noNotice && h.op != opRequest {
		return
	}
	e.replies.push(header{
		srcCID: h.dstCID, dstCID: h.srcCID,
		srcPort: h.dstPort, dstPort: h.srcPort,
		kind: h.kind, op: opReset,
	})
}

// received serves a packet of connection c; section 5.10.6.5.
func (e *engine) received(c *conn, h *header, chain *virtqueue.Chain) {
	c.hear(h)
	switch {
	case h.op == opReset:
		e.leave(c)
	case c.phase == failing: // all that is of use now is a reset
	case c.phase == asked && h.op == opResponse:
		e.accepted(c)
	case c.phase != open:
		e.reset(c)
	default:
		e.receivedOpen(c, h, chain)
	}
}

func (e *engine) receivedOpen(c *conn, h *header, chain *virtqueue.Chain) {
	switch h.op {
	case opShutdown:
		c.guestShutdown |= h.flags & shutdownBoth
		e.flush(c)
		if c.guestShutdown&shutdownReceive != 0 {
			unix.Shutdown(c.fd, unix.SHUT_RD) // fails only if the host process has gone
		}
	case opData:
		e.data(c, h, chain)
	case opCreditUpdate: // taken from every header
	case opCreditRequest:
		e.owe(c, oweCreditUpdate)
	default: // a second request or response, or an unknown operation
		e.reset(c)
	}
}

// data passes the guest's bytes on.
func (e *engine) data(c *conn, h *header, chain *virtqueue.Chain) {
	n := int(h.len)
	// Section 5.10.6.3.1: nobody sends more than the receiver has room for.
	if c.guestShutdown&shutdownSend != 0 || c.pending.size+n > int(c.window) {
		e.reset(c)
		return
	}
	if n == 0 {
		return
	}
	e.view = iovec.Cut(e.view[:0], chain.Readable, headerSize, n)
	e.forward(c, e.view, n)
	if e.grow(c) || c.stale() {
		e.owe(c, oweCreditUpdate)
	}
}

// accepted completes a connection that the host asked for.
func (e *engine) accepted(c *conn) {
	c.phase = open
	e.timers.stop(&c.timer)
	e.welcome(c)
}
