package vsock

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// eventTransportReset is the id of the one event there is, and eventSize that
// of virtio_vsock_event; section 5.10.6.7.
const (
	eventTransportReset = 0
	eventSize           = 4
)

// notice is the event that tells the driver that its connections are gone.
// Until the driver has taken it, nothing is sent: it might take what belongs
// to a new connection for an old one's.
type notice struct {
	timer
	phase noticePhase
	look  bool // the event queue may have something new
	most  int  // buffers that the event queue has had
	chain virtqueue.Chain
}

type noticePhase uint8

const (
	noNotice   noticePhase = iota
	noticeDue              // as soon as the driver has a buffer for it
	noticeSent             // the driver is to put its buffers back, which shows that it took it
)

// resetTransport ends every connection and has the driver told.
func (e *engine) resetTransport() {
	for _, c := range e.conns {
		c.hostEOF, c.hostGone = true, true
		e.leave(c)
	}
	for _, s := range e.tokens { // what the guest had left before
		if c, ok := s.(*conn); ok {
			c.hostGone = true
			e.settle(c)
		}
	}
	e.replies.clear()
	if e.event != nil {
		e.timers.stop(&e.notice.timer)
		e.notice.phase, e.notice.look = noticeDue, true
	}
}

// serveNotice takes the notice one step further, if it can.
func (e *engine) serveNotice() error {
	if e.resetting.Swap(false) {
		e.resetTransport()
	}
	n := &e.notice
	if !n.look {
		return nil
	}
	n.look = false
	if n.phase == noticeDue {
		if err := e.sendNotice(); err != nil {
			return err
		}
	}
	waiting, err := e.eventBuffers()
	if err == nil && n.phase == noticeSent && waiting >= n.most {
		e.timers.stop(&n.timer)
		n.phase = noNotice
	}
	return err
}

// sendNotice sends the event if there is a buffer for it.
func (e *engine) sendNotice() error {
	n := &e.notice
	if waiting, err := e.eventBuffers(); waiting == 0 || err != nil {
		return err
	}
	ok, err := e.event.Pop(&n.chain)
	if !ok || err != nil {
		return err
	}
	if n.chain.WriteLen() < eventSize {
		return &virtqueue.ProtocolError{Section: "5.10.6.7", What: fmt.Sprintf("event buffer of %d bytes", n.chain.WriteLen())}
	}
	n.chain.Write(binary.LittleEndian.AppendUint32(nil, eventTransportReset))
	n.phase = noticeSent
	// A driver that keeps its buffer has had time to read it.
	n.owner = n
	e.timers.set(&n.timer, e.linger)
	e.event.Push(n.chain.Head, eventSize)
	e.event.Flush()
	return nil
}

// expired implements the owner of a timer. The driver may do with fewer buffers
// from now on.
func (n *notice) expired(*engine) { n.phase, n.most = noNotice, 0 }

// eventBuffers counts the buffers of the event queue and asks for a kick when
// there is one more. They stay where they are.
func (e *engine) eventBuffers() (count int, err error) {
	for again := true; again && err == nil; {
		var ok bool
		if ok, err = e.event.Pop(&e.notice.chain); ok {
			count++
			again = count < e.event.Size()
		} else {
			again = err == nil && e.event.EnableKicks()
		}
	}
	for range count {
		e.event.Undo()
	}
	e.notice.most = max(e.notice.most, count)
	return count, err
}
