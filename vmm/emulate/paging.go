package emulate

import (
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Paging structures; Intel SDM volume 3, sections 4.5 to 4.8.
const (
	ptePresent  = 1 << 0
	pteWritable = 1 << 1
	pteUser     = 1 << 2
	pteAccessed = 1 << 5
	pteDirty    = 1 << 6
	pteLarge    = 1 << 7
	pteAddress  = 0x000f_ffff_ffff_f000

	cr0WP   = 1 << 16
	cr4LA57 = 1 << 12
	cr4SMAP = 1 << 21

	rflagsAC = 1 << 18

	faultPresent = 1 << 0
	faultWrite   = 1 << 1
)

// pageFault is a translation the processor would refuse: #PF with this error
// code and address.
type pageFault struct {
	address uint64
	code    uint32
}

// walker translates linear addresses as a processor does for supervisor data
// accesses.
type walker struct {
	mem    *memory.Memory
	sregs  *kvm.Sregs
	rflags uint64
}

// translate returns the guest-physical address behind linear and marks the
// entries on the way accessed and, for a write, the last one dirty. ok is
// false if a page table lies outside RAM.
func (w *walker) translate(linear uint64, write bool) (gpa memory.GPA, fault *pageFault, ok bool) {
	levels := 4
	if w.sregs.CR4&cr4LA57 != 0 {
		levels = 5
	}
	table := memory.GPA(w.sregs.CR3 & pteAddress)
	writable, user := true, true
	for level := levels; level > 0; level-- {
		shift := uint(12 + 9*(level-1))
		slot := table + memory.GPA(linear>>shift&0x1ff*8)
		b, err := w.mem.Slice(slot, 8)
		if err != nil {
			return 0, nil, false
		}
		entry := memory.Load64(b, 0)
		if entry&ptePresent == 0 {
			return 0, w.fault(linear, write, 0), true
		}
		writable = writable && entry&pteWritable != 0
		user = user && entry&pteUser != 0
		if level == 1 || level <= 3 && entry&pteLarge != 0 {
			if w.forbidden(writable, user, write) {
				return 0, w.fault(linear, write, faultPresent), true
			}
			mark(b, write)
			offset := uint64(1)<<shift - 1
			return memory.GPA(entry&pteAddress&^offset | linear&offset), nil, true
		}
		mark(b, false)
		table = memory.GPA(entry & pteAddress)
	}
	return 0, nil, false // not reached: level 1 returns
}

// forbidden applies CR0.WP and SMAP to a supervisor access; SDM volume 3,
// section 4.6.1.
func (w *walker) forbidden(writable, user, write bool) bool {
	if write && !writable && w.sregs.CR0&cr0WP != 0 {
		return true
	}
	return user && w.sregs.CR4&cr4SMAP != 0 && w.rflags&rflagsAC == 0
}

func (w *walker) fault(linear uint64, write bool, code uint32) *pageFault {
	if write {
		code |= faultWrite
	}
	return &pageFault{linear, code}
}

// mark sets the accessed bit and, for a write, the dirty bit, without losing
// what another processor writes to the entry meanwhile.
func mark(entry []byte, write bool) {
	bits := uint64(pteAccessed)
	if write {
		bits |= pteDirty
	}
	if memory.Load64(entry, 0)&bits != bits {
		memory.Or64(entry, 0, bits)
	}
}
