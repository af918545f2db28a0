package pci

// What is where in BAR 0. Each structure has pages of its own, as PCI 3.0
// section 6.8.2 wants of MSI-X's.
const (
	pageSize = 0x1000

	commonOffset = 0x0000
	isrOffset    = 0x1000
	deviceOffset = 0x2000
	notifyOffset = 0x3000
	tableOffset  = 0x4000 // MSI-X
	pbaOffset    = 0x5000
	regionSize   = 0x8000

	// notifyMultiplier is how far the queues' doorbells are apart; section
	// 4.1.4.4.1: an even power of 2.
	notifyMultiplier = 4
)

// The common configuration; section 4.1.4.3. Its last fields come with features
// that aren't offered, and are left out.
const (
	regDeviceFeaturesSel = 0
	regDeviceFeatures    = 4
	regDriverFeaturesSel = 8
	regDriverFeatures    = 12
	regConfigVector      = 16
	regQueueCount        = 18
	regStatus            = 20
	regGeneration        = 21
	regQueueSel          = 22
	regQueueSize         = 24
	regQueueVector       = 26
	regQueueEnable       = 28
	regQueueNotifyOff    = 30
	regQueueDescLow      = 32
	regQueueDescHigh     = 36
	regQueueDriverLow    = 40
	regQueueDriverHigh   = 44
	regQueueDeviceLow    = 48
	regQueueDeviceHigh   = 52
	commonSize           = 56
)

// width returns how wide the field at an offset of the common configuration
// is, in bytes, 0 if none starts there.
func width(offset uint64) int {
	switch {
	case offset == regStatus || offset == regGeneration:
		return 1
	case offset >= regConfigVector && offset < regQueueDescLow && offset%2 == 0:
		return 2
	case offset < commonSize && offset%4 == 0:
		return 4
	}
	return 0
}

const (
	driverSection = "4.1.4.3.2"

	noVector = 0xffff // section 4.1.5.1.2

	// ISR status; section 4.1.4.5.
	isrQueue  = 1 << 0
	isrConfig = 1 << 1
)
