package net

import (
	"errors"
	"os"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// sender takes frames from the guest to one wire of the port, straight from
// guest memory, behind a header of our own.
type sender struct {
	dev      *Device
	wire     int
	q        *virtio.Queue
	features uint64
	own      []byte // the only address that frames may come from; nil: any

	chain virtqueue.Chain
	copy  [headerSize + addressesSize]byte // of what is checked: the header, and the frame's addresses
	front []byte                           // as much of copy as is looked at
	view  [][]byte
}

func newSender(d *Device, wire int, q *virtio.Queue, features uint64) *sender {
	s := &sender{dev: d, wire: wire, q: q, features: features, own: d.own()}
	s.front = s.copy[:headerSize]
	if s.own != nil {
		s.front = s.copy[:]
	}
	return s
}

// serve sends what there is, until the port is interrupted.
func (s *sender) serve() error {
	err := s.q.Drain(s.one)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.q.Flush()
		return nil
	}
	return err
}

// one sends one frame. A network may lose frames, so what the port can't take
// is dropped.
func (s *sender) one() (more bool, err error) {
	ok, err := s.q.Pop(&s.chain)
	if !ok || err != nil {
		return false, err
	}
	front := s.front[:s.chain.Read(s.front)]
	if len(front) < headerSize {
		return false, &virtqueue.ProtocolError{Section: "5.1.6.2", What: "frame without a header"}
	}
	h, n := (*header)(front), s.chain.ReadLen()-headerSize
	if err := h.check(n, s.features); err != nil {
		return false, err
	}
	if n+headerSize <= maxFrame && h.segmentsFit() && s.dev.passes() && fromOwn(s.own, front[headerSize:]) {
		if !s.q.Pass(s.dev.c.LimitTX, h.frames(n), h.wire(n)) {
			s.q.Undo()
			return false, nil
		}
		// Section 5.1.6.2.1: the guest leaves num_buffers zero; the host
		// doesn't look at it.
		clear(h[offNumBuffers:])
		s.view = iovec.Cut(append(s.view[:0], front), s.chain.Readable, len(front), n+headerSize-len(front))
		if len(s.view) <= maxBuffers { // more, no system call takes whole
			if err := s.dev.c.Port.Send(s.wire, s.view); errors.Is(err, os.ErrDeadlineExceeded) {
				s.q.Undo()
				return false, err
			}
		}
	}
	s.q.Push(s.chain.Head, 0)
	return true, nil
}
