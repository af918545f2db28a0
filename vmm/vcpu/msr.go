package vcpu

import "github.com/bulkhead-vm/bulkhead/vmm/kvm"

// MSRs by their names in Intel SDM volume 4.
const (
	msrTSC          = 0x10
	msrSysenterCS   = 0x174
	msrSysenterESP  = 0x175
	msrSysenterEIP  = 0x176
	msrMiscEnable   = 0x1a0
	msrMTRRDefType  = 0x2ff
	msrTSCDeadline  = 0x6e0
	msrSTAR         = 0xc0000081
	msrLSTAR        = 0xc0000082
	msrCSTAR        = 0xc0000083
	msrSyscallMask  = 0xc0000084
	msrKernelGSBase = 0xc0000102

	miscEnableFastString = 1 << 0
	mtrrEnable           = 1 << 11
	mtrrWriteBack        = 6
)

// bootMSRs returns the registers a kernel expects to find set up by firmware.
func bootMSRs() []kvm.MSREntry {
	return []kvm.MSREntry{
		{Index: msrSysenterCS},
		{Index: msrSysenterESP},
		{Index: msrSysenterEIP},
		{Index: msrSTAR},
		{Index: msrLSTAR},
		{Index: msrCSTAR},
		{Index: msrKernelGSBase},
		{Index: msrSyscallMask},
		{Index: msrTSC},
		{Index: msrMiscEnable, Data: miscEnableFastString},
		{Index: msrMTRRDefType, Data: mtrrEnable | mtrrWriteBack},
	}
}
