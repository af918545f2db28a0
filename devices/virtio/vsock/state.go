package vsock

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// restored is what a driver knows that goes on at this device. It has connections,
// too, that nobody here knows of.
type restored struct {
	eventBuffers int
	lastPort     uint32 // of the host's; 0: none was given
}

// Suspend implements virtio.Device. Host processes keep their connections, and who
// connects now waits. No deadline comes closer.
func (d *Device) Suspend() {
	if d.engine != nil {
		d.engine.suspend()
	}
}

// Resume implements virtio.Device.
func (d *Device) Resume() {
	if d.engine != nil {
		d.engine.resume()
	}
}

// Save implements virtio.Device. Connections can't be saved.
func (d *Device) Save(s *statev1.Device) {
	v := &statev1.Vsock{}
	switch {
	case d.engine != nil:
		v.EventBuffers, v.LastHostPort = uint32(d.engine.notice.most), d.engine.lastPort
	case d.restored != nil:
		v.EventBuffers, v.LastHostPort = uint32(d.restored.eventBuffers), d.restored.lastPort
	}
	s.Kind = &statev1.Device_Vsock{Vsock: v}
}

// Restore implements virtio.Device. The driver's connections end: it hears of that
// by the event of section 5.10.6.7, before anything else, and reads the guest's
// CID again, which may be another.
func (d *Device) Restore(s *statev1.Device) error {
	v := s.GetVsock()
	switch {
	case v == nil:
		return &virtio.StateError{What: "it has no socket device"}
	case v.GetEventBuffers() > eventQueueSize:
		return &virtio.StateError{What: fmt.Sprintf("%d buffers in an event queue of %d: the state is damaged, take another snapshot",
			v.GetEventBuffers(), eventQueueSize)}
	}
	if p := v.GetLastHostPort(); p != 0 && (p < firstHostPort-1 || p > lastHostPort) {
		return &virtio.StateError{What: fmt.Sprintf("host port %d: the state is damaged, take another snapshot", p)}
	}
	if virtio.Status(s.GetStatus())&virtio.StatusDriverOK != 0 {
		d.restored = &restored{int(v.GetEventBuffers()), v.GetLastHostPort()}
	}
	return nil
}
