package machine

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Transport is how a guest finds its virtio devices.
type Transport int

const (
	// MMIO has each device's registers at an address that the guest is told,
	// and an interrupt line for each.
	MMIO Transport = iota
	// PCI has the devices on a bus that the guest looks through. Each queue
	// interrupts by a message of its own.
	PCI
)

// String returns the transport's name in the configuration.
func (t Transport) String() string {
	switch t {
	case MMIO:
		return "mmio"
	case PCI:
		return "pci"
	}
	return fmt.Sprintf("transport %d", int(t))
}

// plugged is a virtio device in its place.
type plugged struct {
	name      string
	transport interface {
		Counts() virtio.Counts
		Suspend()
		Resume() error
		Save() *statev1.Device
		Restore(*statev1.Device) error
		Close() error
	}
}

// plug takes over a device's transport, once it is made.
func (m *Machine) plug(p plugged) {
	m.close = append(m.close, p.transport.Close)
	m.devices = append(m.devices, p)
}

// maxDevices is how many devices a machine with the transport has room for, 0
// if there is no such transport.
func (t Transport) maxDevices() int {
	switch t {
	case MMIO:
		return maxMMIODevices
	case PCI:
		return maxPCIDevices
	}
	return 0
}
