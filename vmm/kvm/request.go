package kvm

import "fmt"

// request is an ioctl number.
type request uint32

// KVM API section 4, "API description", gives each request its arguments.
const (
	reqGetAPIVersion     request = 0xae00
	reqCreateVM          request = 0xae01
	reqGetMSRIndexList   request = 0xc004ae02
	reqCheckExtension    request = 0xae03
	reqGetVCPUMmapSize   request = 0xae04
	reqGetSupportedCPUID request = 0xc008ae05

	reqCreateVCPU          request = 0xae41
	reqGetDirtyLog         request = 0x4010ae42
	reqSetUserMemoryRegion request = 0x4020ae46
	reqSetTSSAddr          request = 0xae47
	reqSetIdentityMapAddr  request = 0x4008ae48
	reqCreateIRQChip       request = 0xae60
	reqIRQLine             request = 0x4008ae61
	reqGetIRQChip          request = 0xc208ae62
	reqSetIRQChip          request = 0x8208ae63
	reqSetGSIRouting       request = 0x4008ae6a
	reqIRQFD               request = 0x4020ae76
	reqCreatePIT2          request = 0x4040ae77
	reqIOEventFD           request = 0x4040ae79
	reqSetClock            request = 0x4030ae7b
	reqGetClock            request = 0x8030ae7c
	reqSignalMSI           request = 0x4020aea5
	reqGetPIT2             request = 0x8070ae9f
	reqSetPIT2             request = 0x4070aea0
	reqEnableCap           request = 0x4068aea3
	reqClearDirtyLog       request = 0xc018aec0

	reqRun           request = 0xae80
	reqGetRegs       request = 0x8090ae81
	reqSetRegs       request = 0x4090ae82
	reqGetSregs      request = 0x8138ae83
	reqSetSregs      request = 0x4138ae84
	reqTranslate     request = 0xc018ae85
	reqGetMSRs       request = 0xc008ae88
	reqSetMSRs       request = 0x4008ae89
	reqGetFPU        request = 0x81a0ae8c
	reqSetFPU        request = 0x41a0ae8d
	reqGetLAPIC      request = 0x8400ae8e
	reqSetLAPIC      request = 0x4400ae8f
	reqSetCPUID2     request = 0x4008ae90
	reqGetCPUID2     request = 0xc008ae91
	reqGetMPState    request = 0x8004ae98
	reqSetMPState    request = 0x4004ae99
	reqNMI           request = 0xae9a
	reqGetVCPUEvents request = 0x8040ae9f
	reqSetVCPUEvents request = 0x4040aea0
	reqGetDebugRegs  request = 0x8080aea1
	reqSetDebugRegs  request = 0x4080aea2
	reqSetTSCKHz     request = 0xaea2
	reqGetTSCKHz     request = 0xaea3
	reqGetXSave      request = 0x9000aea4
	reqSetXSave      request = 0x5000aea5
	reqGetXCRs       request = 0x8188aea6
	reqSetXCRs       request = 0x4188aea7
	reqKVMClockCtrl  request = 0xaead
	reqGetXSave2     request = 0x9000aecf
)

// String returns the kernel's name of the request, as the KVM API lists it.
func (r request) String() string {
	for _, n := range requestNames {
		if n.request == r {
			return n.name
		}
	}
	return fmt.Sprintf("KVM ioctl %#x", uint32(r))
}
