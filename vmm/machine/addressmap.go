package machine

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
	maxDevices = lastGSI - firstGSI + 1

	identityMapAddr = 0xfffb_c000
	tssAddr         = 0xfffb_d000
)

// slot is where the i-th virtio device is.
func slot(i int) (gpa uint64, gsi uint32) {
	return mmioBase + uint64(i)*mmioStride, firstGSI + uint32(i)
}
