package kvm

import (
	"fmt"
	"unsafe"
)

// MemorySlot maps host memory into guest-physical space; KVM API section
// 4.35, KVM_SET_USER_MEMORY_REGION.
type MemorySlot struct {
	Slot  uint32
	GPA   uint64 // page-aligned
	Bytes []byte // page-aligned mmap memory that outlives the slot
	// LogDirty records written pages for DirtyLog.
	LogDirty bool
	// ReadOnly turns guest writes into MMIO exits.
	ReadOnly bool
}

// SetMemorySlot creates the slot or changes its flags. To move or resize a
// slot, delete it first.
func (vm *VM) SetMemorySlot(m MemorySlot) error {
	arg := userMemoryRegion{
		slot:          m.Slot,
		guestPhysAddr: m.GPA,
		memorySize:    uint64(len(m.Bytes)),
		userspaceAddr: unsafe.SliceData(m.Bytes),
	}
	if m.LogDirty {
		arg.flags |= memLogDirtyPages
	}
	if m.ReadOnly {
		arg.flags |= memReadonly
	}
	if _, err := ioctlPtr(vm.fd, reqSetUserMemoryRegion, &arg); err != nil {
		return fmt.Errorf("memory slot %d at GPA %#x, %d bytes: %w", m.Slot, m.GPA, len(m.Bytes), err)
	}
	return nil
}

// DeleteMemorySlot takes the slot out of guest-physical space. Its memory may
// be unmapped once this has returned.
func (vm *VM) DeleteMemorySlot(slot uint32) error {
	arg := userMemoryRegion{slot: slot}
	if _, err := ioctlPtr(vm.fd, reqSetUserMemoryRegion, &arg); err != nil {
		return fmt.Errorf("delete memory slot %d: %w", slot, err)
	}
	return nil
}

// DirtyLog fills bitmap, one bit a page of the slot rounded up to whole words,
// with the pages written since the last call, and starts over (unless manual
// protection was enabled with CapManualDirtyLogProtect2).
func (vm *VM) DirtyLog(slot uint32, bitmap []uint64) error {
	arg := dirtyLog{slot: slot, bitmap: unsafe.SliceData(bitmap)}
	if _, err := ioctlPtr(vm.fd, reqGetDirtyLog, &arg); err != nil {
		return fmt.Errorf("memory slot %d: %w", slot, err)
	}
	return nil
}

// ClearDirtyLog starts the log over for the pages whose bits are set. The
// bitmap covers pages from firstPage, a multiple of 64, to the slot's end.
func (vm *VM) ClearDirtyLog(slot uint32, firstPage uint64, pages uint32, bitmap []uint64) error {
	arg := clearDirtyLog{
		slot:      slot,
		numPages:  pages,
		firstPage: firstPage,
		bitmap:    unsafe.SliceData(bitmap),
	}
	if _, err := ioctlPtr(vm.fd, reqClearDirtyLog, &arg); err != nil {
		return fmt.Errorf("memory slot %d: %w", slot, err)
	}
	return nil
}
