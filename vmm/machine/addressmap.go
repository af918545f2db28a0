package machine

import "github.com/bulkhead-vm/bulkhead/devices/pci"

// Where devices are in the hole below 4 GiB, and their interrupt lines.
const (
	serialPort = 0x3f8
	serialGSI  = 4

	// Events of ACPI, on pins that nothing else of a PC's is left on.
	buttonGSI     = 1
	generationGSI = 3

	mmioBase   = 0xd000_0000
	mmioStride = 0x1000 // virtio 1.2, section 4.2.2: a page a device is customary
	firstGSI   = 5
	lastGSI    = 23 // the IOAPIC's last pin

	maxMMIODevices = lastGSI - firstGSI + 1
	maxPCIDevices  = pci.MaxFunctions

	// Messages need GSIs as well, and have those that are no pin's.
	firstMessageGSI = lastGSI + 1

	identityMapAddr = 0xfffb_c000
	tssAddr         = 0xfffb_d000
)

// slot is where the i-th virtio device is.
func slot(i int) (gpa uint64, gsi uint32) {
	return mmioBase + uint64(i)*mmioStride, firstGSI + uint32(i)
}

// PCIWindow is where a machine's PCI devices have their memory.
func PCIWindow() pci.Window { return pci.Window{Start: 0xe000_0000, Size: 16 << 20} }
