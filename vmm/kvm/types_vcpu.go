package kvm

// Regs mirrors kvm_regs: the general-purpose registers.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment mirrors kvm_segment: a segment register with its hidden part.
type Segment struct {
	Base     uint64
	Limit    uint32 // in bytes, whatever G says
	Selector uint16
	Type     uint8
	Present  uint8
	DPL      uint8
	DB       uint8
	S        uint8
	L        uint8
	G        uint8
	AVL      uint8
	Unusable uint8
	_        uint8
}

// DTable mirrors kvm_dtable: GDTR or IDTR.
type DTable struct {
	Base  uint64
	Limit uint16
	_     [3]uint16
}

// Sregs mirrors kvm_sregs: segments, control registers, EFER, APIC base.
type Sregs struct {
	CS, DS, ES, FS, GS, SS Segment
	TR, LDT                Segment
	GDT, IDT               DTable
	CR0, CR2, CR3, CR4     uint64
	CR8                    uint64
	EFER                   uint64
	APICBase               uint64
	InterruptBitmap        [4]uint64
}

// FPU mirrors kvm_fpu: x87 and SSE state.
type FPU struct {
	FPR        [8][16]uint8
	FCW        uint16
	FSW        uint16
	FTWX       uint8 // the tag word, in FXSAVE's abridged form
	_          uint8
	LastOpcode uint16
	LastIP     uint64
	LastDP     uint64
	XMM        [16][16]uint8
	MXCSR      uint32
	_          uint32
}

// XSave mirrors kvm_xsave: the XSAVE area in its standard (non-compacted)
// form, legacy region first.
type XSave struct {
	Region [4096]byte
}

// XCR mirrors kvm_xcr: one extended control register.
type XCR struct {
	Index uint32
	_     uint32
	Value uint64
}

// XCRs mirrors kvm_xcrs; the first Count entries of List are valid.
type XCRs struct {
	Count uint32
	Flags uint32
	List  [16]XCR
	_     [16]uint64
}

// DebugRegs mirrors kvm_debugregs.
type DebugRegs struct {
	DB       [4]uint64
	DR6, DR7 uint64
	Flags    uint64
	_        [9]uint64
}

// LAPIC mirrors kvm_lapic_state: the register page of the local APIC.
type LAPIC struct {
	Regs [1024]byte
}

// MPState mirrors kvm_mp_state: what a vCPU is doing as seen by the APIC.
type MPState uint32

// KVM API section 4.38, KVM_GET_MP_STATE.
const (
	MPStateRunnable      MPState = 0
	MPStateUninitialized MPState = 1
	MPStateInitReceived  MPState = 2
	MPStateHalted        MPState = 3
	MPStateSIPIReceived  MPState = 4
)

// VCPUEvents mirrors kvm_vcpu_events: exceptions, interrupts and NMIs on
// their way into the guest. KVM API section 4.31 gives Flags.
type VCPUEvents struct {
	Exception struct {
		Injected     uint8
		Vector       uint8
		HasErrorCode uint8
		Pending      uint8
		ErrorCode    uint32
	}
	Interrupt struct {
		Injected uint8
		Vector   uint8
		Soft     uint8
		Shadow   uint8
	}
	NMI struct {
		Injected uint8
		Pending  uint8
		Masked   uint8
		_        uint8
	}
	SIPIVector uint32
	Flags      uint32
	SMI        struct {
		SMM         uint8
		Pending     uint8
		InsideNMI   uint8
		LatchedInit uint8
	}
	TripleFaultPending  uint8
	_                   [26]uint8
	ExceptionHasPayload uint8
	ExceptionPayload    uint64
}

// CPUIDEntry mirrors kvm_cpuid_entry2: what CPUID answers for one leaf.
type CPUIDEntry struct {
	Function           uint32
	Index              uint32
	Flags              uint32
	EAX, EBX, ECX, EDX uint32
	_                  [3]uint32
}

// CPUIDFlagSignificantIndex marks an entry whose sub-leaf (ECX) matters.
const CPUIDFlagSignificantIndex = 1

// MSREntry mirrors kvm_msr_entry: one model-specific register.
type MSREntry struct {
	Index uint32
	_     uint32
	Data  uint64
}

// Translation mirrors kvm_translation, the answer of KVM_TRANSLATE.
type Translation struct {
	LinearAddress   uint64
	PhysicalAddress uint64
	Valid           uint8
	Writable        uint8
	UserMode        uint8
	_               [5]uint8
}
