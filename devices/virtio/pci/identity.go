package pci

import (
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

const (
	vendorID     = 0x1af4 // section 4.1.2.1
	deviceIDBase = 0x1040
	revision     = 1 // section 4.1.2.1: for the sake of legacy drivers
)

// classOf returns a PCI class for a type of device; PCI 3.0, appendix D.
func classOf(id virtio.ID) uint32 {
	switch id {
	case virtio.IDNet:
		return 0x020000 // Ethernet controller
	case virtio.IDBlock:
		return 0x018000 // other mass storage
	case virtio.IDVsock:
		return 0x078000 // other communications
	case virtio.IDRNG:
		return 0x108000 // other encryption
	}
	return 0xff0000 // fits no class
}

// Function describes the device as a PCI function.
func (t *Transport) Function() pci.Config {
	id := uint16(deviceIDBase + t.Device().ID())
	return pci.Config{
		Vendor: vendorID, Device: id,
		SubsystemVendor: vendorID, Subsystem: id,
		Revision:     revision,
		Class:        classOf(t.Device().ID()),
		Region:       (*region)(t),
		Capabilities: t.capabilities(),
		Interrupting: func() bool { return !t.msix.Enabled() && t.isr.Load() != 0 },
	}
}
