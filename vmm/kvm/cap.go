package kvm

// Cap names an optional feature of KVM; KVM API section 4.4, CHECK_EXTENSION.
type Cap uint32

// The capabilities this project asks for, by their kernel names
// (KVM_CAP_IRQCHIP is CapIRQChip, and so on).
const (
	CapIRQChip                Cap = 0
	CapUserMemory             Cap = 3
	CapSetTSSAddr             Cap = 4
	CapExtCPUID               Cap = 7
	CapNrVCPUs                Cap = 9
	CapNrMemslots             Cap = 10
	CapMPState                Cap = 14
	CapIRQRouting             Cap = 25
	CapIRQFD                  Cap = 32
	CapPIT2                   Cap = 33
	CapPITState2              Cap = 35
	CapIOEventFD              Cap = 36
	CapSetIdentityMapAddr     Cap = 37
	CapAdjustClock            Cap = 39
	CapVCPUEvents             Cap = 41
	CapDebugRegs              Cap = 50
	CapXSave                  Cap = 55
	CapXCRs                   Cap = 56
	CapTSCControl             Cap = 60
	CapGetTSCKHz              Cap = 61
	CapMaxVCPUs               Cap = 66
	CapKVMClockCtrl           Cap = 76
	CapSignalMSI              Cap = 77
	CapReadonlyMem            Cap = 81
	CapMaxVCPUID              Cap = 128
	CapImmediateExit          Cap = 136
	CapManualDirtyLogProtect2 Cap = 168
	CapExitOnEmulationFailure Cap = 204
	CapXSave2                 Cap = 208
)
