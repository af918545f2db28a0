package kvm

// userMemoryRegion mirrors kvm_userspace_memory_region.
type userMemoryRegion struct {
	slot          uint32
	flags         uint32
	guestPhysAddr uint64
	memorySize    uint64 // bytes; 0 deletes the slot
	userspaceAddr *byte
}

const (
	memLogDirtyPages = 1 << 0
	memReadonly      = 1 << 1
)

// dirtyLog mirrors kvm_dirty_log.
type dirtyLog struct {
	slot   uint32
	_      uint32
	bitmap *uint64
}

// clearDirtyLog mirrors kvm_clear_dirty_log.
type clearDirtyLog struct {
	slot      uint32
	numPages  uint32
	firstPage uint64
	bitmap    *uint64
}

// IRQChip mirrors kvm_irqchip: the state of one interrupt controller.
type IRQChip struct {
	ID   uint32
	_    uint32
	Chip [512]byte
}

// The interrupt controllers of an x86 in-kernel irqchip, as IRQChip.ID.
const (
	ChipPICMaster = 0
	ChipPICSlave  = 1
	ChipIOAPIC    = 2
)

// PITChannel mirrors kvm_pit_channel_state.
type PITChannel struct {
	Count         uint32
	LatchedCount  uint16
	CountLatched  uint8
	StatusLatched uint8
	Status        uint8
	ReadState     uint8
	WriteState    uint8
	WriteLatch    uint8
	RWMode        uint8
	Mode          uint8
	BCD           uint8
	Gate          uint8
	CountLoadTime int64
}

// PIT mirrors kvm_pit_state2: the i8254 interval timer.
type PIT struct {
	Channels [3]PITChannel
	Flags    uint32
	_        [9]uint32
}

// pitConfig mirrors kvm_pit_config.
type pitConfig struct {
	flags uint32
	_     [15]uint32
}

// pitSpeakerDummy makes the kernel answer port 0x61 as well.
const pitSpeakerDummy = 1

// Clock mirrors kvm_clock_data; KVM API section 4.29, KVM_GET_CLOCK.
type Clock struct {
	Clock    uint64 // kvm-clock, nanoseconds
	Flags    uint32
	_        uint32
	Realtime uint64 // CLOCK_REALTIME at the same instant, if Flags say so
	HostTSC  uint64
	_        [4]uint32
}

// irqLevel mirrors kvm_irq_level.
type irqLevel struct {
	irq   uint32
	level uint32
}

// irqfd mirrors kvm_irqfd.
type irqfd struct {
	fd    uint32
	gsi   uint32
	flags uint32
	_     uint32 // resamplefd
	_     [16]uint8
}

const irqfdDeassign = 1 << 0

// ioeventfd mirrors kvm_ioeventfd.
type ioeventfd struct {
	datamatch uint64
	addr      uint64
	length    uint32
	fd        int32
	flags     uint32
	_         [36]uint8
}

const (
	ioeventfdDatamatch = 1 << 0
	ioeventfdPIO       = 1 << 1
	ioeventfdDeassign  = 1 << 2
)

// MSI mirrors kvm_msi: a message-signalled interrupt.
type MSI struct {
	AddressLo uint32
	AddressHi uint32
	Data      uint32
	Flags     uint32
	DevID     uint32
	_         [12]uint8
}

// enableCap mirrors kvm_enable_cap.
type enableCap struct {
	cap  uint32
	_    uint32 // flags
	args [4]uint64
	_    [64]uint8
}

// routingEntry mirrors kvm_irq_routing_entry; u holds irqchip and pin, or an
// MSI's address and data.
type routingEntry struct {
	gsi  uint32
	kind uint32
	_    uint32 // flags
	_    uint32
	u    [8]uint32
}

const (
	routingIRQChip = 1
	routingMSI     = 2
)
