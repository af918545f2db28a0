package balloon

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Suspend implements virtio.Device.
func (d *Device) Suspend() {
	for _, l := range d.rest(true) {
		l.Pause()
	}
}

// Resume implements virtio.Device.
func (d *Device) Resume() {
	for _, l := range d.rest(false) {
		l.Resume()
	}
}

func (d *Device) rest(now bool) []*virtio.Loop {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resting = now
	return d.loops
}

// Save implements virtio.Device. The pages in the balloon are holes in the
// snapshot's memory like others that nobody has touched.
func (d *Device) Save(s *statev1.Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &statev1.Balloon{
		Target: binary.LittleEndian.Uint32(d.space[offNumPages:]),
		Actual: binary.LittleEndian.Uint32(d.space[offActual:]),
	}
	if d.stats != nil {
		b.StatisticsHeld, b.StatisticsHead = d.stats.held, uint32(d.stats.head)
	}
	s.Kind = &statev1.Device_Balloon{Balloon: b}
}

// Restore implements virtio.Device.
func (d *Device) Restore(s *statev1.Device) error {
	b := s.GetBalloon()
	if b == nil {
		return &virtio.StateError{What: "it has no balloon"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	binary.LittleEndian.PutUint32(d.space[offNumPages:], b.GetTarget())
	binary.LittleEndian.PutUint32(d.space[offActual:], b.GetActual())
	d.saved = b
	return nil
}
