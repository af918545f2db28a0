package hostile

// Registers of virtio over MMIO, which tiny guests reach by instructions of
// their own; virtio 1.2, table 4.1.
const (
	regDevFeatures    = 0x010
	regDevFeaturesSel = 0x014
	regFeatures       = 0x020
	regFeaturesSel    = 0x024
	regQueueSel       = 0x030
	regQueueSize      = 0x038
	regQueueReady     = 0x044
	regQueueNotify    = 0x050
	regStatus         = 0x070
	regQueueDescLow   = 0x080
	regQueueDriverLow = 0x090
	regQueueDeviceLow = 0x0a0
	regConfig         = 0x100
)
