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

	chain  virtqueue.Chain
	header header
	view   [][]byte
}

func newSender(d *Device, wire int, q *virtio.Queue, features uint64) *sender {
	return &sender{dev: d, wire: wire, q: q, features: features}
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
	if s.chain.Read(s.header[:]) < headerSize {
		return false, &virtqueue.ProtocolError{Section: "5.1.6.2", What: "frame without a header"}
	}
	n := s.chain.ReadLen() - headerSize
	if err := s.header.check(n, s.features); err != nil {
		return false, err
	}
	if n+headerSize <= maxFrame && s.header.segmentsFit() && s.dev.passes() {
		if !s.q.Pass(s.dev.c.LimitTX, s.header.frames(n), s.header.wire(n)) {
			s.q.Undo()
			return false, nil
		}
		// Section 5.1.6.2.1: the guest leaves num_buffers zero; the host
		// doesn't look at it.
		clear(s.header[offNumBuffers:])
		s.view = iovec.Cut(append(s.view[:0], s.header[:]), s.chain.Readable, headerSize, n)
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
