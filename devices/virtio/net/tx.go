package net

import (
	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// maxFrame bounds what a guest may send: a header and 64 KiB.
const maxFrame = headerSize + 1<<16

// sender takes frames from the guest to the port.
type sender struct {
	port   Port
	chain  virtqueue.Chain
	header [headerSize]byte // all zero: no offloads, as negotiated
	view   [][]byte
}

// serve sends one frame, straight from guest memory, behind a header of our own:
// the guest's would have the host's kernel parse what no driver was offered. A
// network may lose frames, so what the port can't take is dropped.
func (s *sender) serve(c *virtqueue.Chain) (uint32, error) {
	if c.ReadLen() < headerSize {
		return 0, &virtqueue.ProtocolError{Section: "5.1.6.2", What: "frame without a header"}
	}
	if c.ReadLen() <= maxFrame {
		s.view = iovec.Cut(append(s.view[:0], s.header[:]), c.Readable, headerSize, c.ReadLen()-headerSize)
		s.port.Send(s.view)
	}
	return 0, nil
}
