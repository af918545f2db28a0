package machine

import "github.com/bulkhead-vm/bulkhead/devices/virtio"

// DeviceCounts is what went through the queues of a device since the machine was
// made.
type DeviceCounts struct {
	Name string // as in Device
	virtio.Counts
}

// counted is a device's transport, whichever it is.
type counted struct {
	name string
	from interface{ Counts() virtio.Counts }
}

// count has DeviceCounts tell of a device, once its transport is made.
func (m *Machine) count(name string, from interface{ Counts() virtio.Counts }) {
	m.devices = append(m.devices, counted{name, from})
}

// DeviceCounts returns what went through each virtio device, in the order that
// they are plugged in. It may be called after Close as well.
func (m *Machine) DeviceCounts() []DeviceCounts {
	counts := make([]DeviceCounts, 0, len(m.devices))
	for _, d := range m.devices {
		counts = append(counts, DeviceCounts{d.name, d.from.Counts()})
	}
	return counts
}
