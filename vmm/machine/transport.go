package machine

import "fmt"

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
