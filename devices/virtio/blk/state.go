package blk

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Suspend implements virtio.Device. What is in flight is finished first.
func (d *Device) Suspend() {
	for _, q := range d.current() {
		q.pause()
	}
}

// Resume implements virtio.Device.
func (d *Device) Resume() {
	for _, q := range d.current() {
		q.resume()
	}
}

func (d *Device) current() []*queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queues
}

// Save implements virtio.Device.
func (d *Device) Save(s *statev1.Device) {
	s.Kind = &statev1.Device_Block{Block: &statev1.Block{
		Capacity: d.capacity.Load(), BlockSize: d.backend.BlockSize(), ReadOnly: d.backend.ReadOnly(),
	}}
}

// Restore implements virtio.Device. The driver goes on with a disk of the size
// that it knew, or of a larger one, of which it is told.
func (d *Device) Restore(s *statev1.Device) error {
	was := s.GetBlock()
	switch {
	case was == nil:
		return &virtio.StateError{What: "it has no disk"}
	case d.capacity.Load() < was.GetCapacity():
		return &virtio.StateError{What: fmt.Sprintf("its disk had %d sectors, this one has %d: give one as large or larger",
			was.GetCapacity(), d.capacity.Load())}
	case d.backend.BlockSize() > was.GetBlockSize():
		return &virtio.StateError{What: fmt.Sprintf("its disk had blocks of %d bytes, this one has %d: give one with as small",
			was.GetBlockSize(), d.backend.BlockSize())}
	case d.backend.ReadOnly() && !was.GetReadOnly():
		return &virtio.StateError{What: "its disk could be written to, this one can't"}
	}
	return nil
}
