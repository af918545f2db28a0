package kvm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runPage mirrors the head of kvm_run, which the kernel maps into user space.
type runPage struct {
	requestInterruptWindow     uint8
	immediateExit              uint8
	_                          [6]uint8
	exitReason                 uint32
	readyForInterruptInjection uint8
	ifFlag                     uint8
	flags                      uint16
	cr8                        uint64
	apicBase                   uint64
	exit                       [256]byte // a union, by exitReason
}

func (v *VCPU) run() *runPage { return (*runPage)(unsafe.Pointer(&v.page[0])) }

// exitAs views the union of kvm_run as the given exit's structure.
func exitAs[T any](v *VCPU) *T { return (*T)(unsafe.Pointer(&v.run().exit)) }

// ErrInterrupted is returned by Run when a signal or SetImmediateExit ended it
// before the guest had anything to say.
var ErrInterrupted = errors.New("KVM_RUN was interrupted")

// Run enters the guest and returns at its next exit; ExitReason then says why.
// It takes the same locked thread each time. The call goes through
// unix.Syscall, so that the Go scheduler and the garbage collector know the
// thread is away; it allocates nothing.
func (v *VCPU) Run() error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(v.n), uintptr(reqRun), 0)
	switch errno {
	case 0:
		return nil
	case unix.EINTR, unix.EAGAIN:
		return ErrInterrupted
	}
	return fmt.Errorf("%s of vCPU %d: %w", reqRun, v.ID, errno)
}

// ExitReason says why Run returned nil.
func (v *VCPU) ExitReason() ExitReason { return ExitReason(v.run().exitReason) }

// SetImmediateExit makes the next Run return ErrInterrupted at once, as long
// as it is set; together with a signal to the vCPU's thread it ends a Run
// without a race. It may be called from any goroutine.
func (v *VCPU) SetImmediateExit(on bool) {
	// Byte 1 of the page's first word, for want of 8-bit atomics; x86 is
	// little-endian.
	word := (*uint32)(unsafe.Pointer(&v.page[0]))
	if on {
		atomic.OrUint32(word, 1<<8)
	} else {
		atomic.AndUint32(word, ^uint32(0xff<<8))
	}
}

// IOExit is a port access (ExitIO): Count accesses of Size bytes each, as a
// string instruction makes them. The guest's data is in Data, or is to be put
// there before the next Run.
type IOExit struct {
	Write bool
	Port  uint16
	Size  uint8
	Count uint32
	Data  []byte // Count*Size bytes of the shared page, valid until the next Run
}

// IO decodes an ExitIO.
func (v *VCPU) IO() IOExit {
	io := exitAs[struct {
		direction  uint8
		size       uint8
		port       uint16
		count      uint32
		dataOffset uint64
	}](v)
	return IOExit{
		Write: io.direction == 1,
		Port:  io.port,
		Size:  io.size,
		Count: io.count,
		Data:  v.page[io.dataOffset:][:uint64(io.count)*uint64(io.size)],
	}
}

// MMIOExit is an access to guest-physical space outside every memory slot, or
// a write to a read-only one (ExitMMIO).
type MMIOExit struct {
	Write bool
	GPA   uint64
	Data  []byte // 1 to 8 bytes of the shared page, valid until the next Run
}

// MMIO decodes an ExitMMIO.
func (v *VCPU) MMIO() MMIOExit {
	mmio := exitAs[struct {
		physAddr uint64
		data     [8]byte
		len      uint32
		isWrite  uint8
	}](v)
	return MMIOExit{
		Write: mmio.isWrite != 0,
		GPA:   mmio.physAddr,
		Data:  mmio.data[:min(mmio.len, 8)],
	}
}

// InternalError is KVM giving up on the guest (ExitInternalError). Its slices
// are valid until the next Run.
type InternalError struct {
	Suberror uint32
	// Insn holds the bytes at RIP if Suberror is SuberrorEmulation and KVM
	// knows them: the instruction it could not emulate, and what follows.
	Insn []byte
	Data []uint64 // as the kernel gave it, for a report
}

// SuberrorEmulation is KVM_INTERNAL_ERROR_EMULATION.
const SuberrorEmulation = 1

// InternalError decodes an ExitInternalError.
func (v *VCPU) InternalError() InternalError {
	const flagInsnBytes = 1
	raw := exitAs[struct {
		suberror uint32
		ndata    uint32
		data     [16]uint64
	}](v)
	e := InternalError{Suberror: raw.suberror, Data: raw.data[:min(raw.ndata, 16)]}
	if e.Suberror != SuberrorEmulation || len(e.Data) < 3 || e.Data[0]&flagInsnBytes == 0 {
		return e
	}
	emulation := exitAs[struct {
		suberror  uint32
		ndata     uint32
		flags     uint64
		insnSize  uint8
		insnBytes [15]uint8
	}](v)
	e.Insn = emulation.insnBytes[:min(emulation.insnSize, 15)]
	return e
}

// HardwareReason is the processor's own code for an ExitUnknown or the reason
// in an ExitFailEntry.
func (v *VCPU) HardwareReason() uint64 {
	return *exitAs[uint64](v)
}

// SystemEvent returns the type (KVM_SYSTEM_EVENT_*) of an ExitSystemEvent.
func (v *VCPU) SystemEvent() uint32 {
	return *exitAs[uint32](v)
}
