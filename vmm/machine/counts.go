package machine

import "github.com/bulkhead-vm/bulkhead/devices/virtio"

// DeviceCounts is what went through the queues of a device since the machine was
// made.
type DeviceCounts struct {
	Name string // as in Device
	virtio.Counts
}

// DeviceCounts returns what went through each virtio device, in the order that
// they are plugged in. It may be called after Close as well.
func (m *Machine) DeviceCounts() []DeviceCounts {
	counts := make([]DeviceCounts, 0, len(m.devices))
	for _, d := range m.devices {
		counts = append(counts, DeviceCounts{d.name, d.transport.Counts()})
	}
	return counts
}
