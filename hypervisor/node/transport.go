package node

import (
	"fmt"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Transport names what a guest's virtio devices are plugged into.
type Transport string

// The transports.
const (
	MMIO Transport = "mmio" // an address and an interrupt line for each device
	PCI  Transport = "pci"  // a bus, and MSI-X interrupts for each queue
)

// Check fails if there is no such transport.
func (t Transport) Check() error {
	_, err := t.forWorker()
	return err
}

func (t Transport) forWorker() (vmmv1.Transport, error) {
	switch t {
	case "":
		return vmmv1.Transport_TRANSPORT_UNSPECIFIED, nil
	case MMIO:
		return vmmv1.Transport_TRANSPORT_MMIO, nil
	case PCI:
		return vmmv1.Transport_TRANSPORT_PCI, nil
	}
	return 0, fmt.Errorf("transport %q: there are %s and %s", string(t), MMIO, PCI)
}
