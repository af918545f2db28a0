package kvmtest

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// The page tables of a long-mode Guest; they map the first GiB onto itself.
const (
	pml4GPA = 0x8000
	pdptGPA = 0x9000
	pdGPA   = 0xa000
)

// Page table entry bits; Intel SDM volume 3, section 4.5.
const (
	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	pteUser    = 1 << 2
	pteLarge   = 1 << 7
)

// LongMode moves the guest's vCPU into 64-bit mode at CPL 0, with paging on,
// SSE usable and empty descriptor tables.
func (g *Guest) LongMode() {
	g.t.Helper()
	put := func(gpa int, entry uint64) { binary.LittleEndian.PutUint64(g.RAM[gpa:], entry) }
	const table = ptePresent | pteWrite | pteUser
	put(pml4GPA, pdptGPA|table)
	put(pdptGPA, pdGPA|table)
	for i := range 512 {
		put(pdGPA+8*i, uint64(i)<<21|table|pteLarge)
	}

	var s kvm.Sregs
	Must(g.t, g.VCPU.Sregs(&s))
	s.CR0 = 0x80000033 // PG, NE, ET, MP, PE
	s.CR3 = pml4GPA
	s.CR4 = 0x620  // OSXMMEXCPT, OSFXSR, PAE
	s.EFER = 0x500 // LMA, LME
	data := kvm.Segment{Limit: 0xffffffff, Selector: 0x10, Type: 3, Present: 1, S: 1, DB: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS, s.SS = data, data, data, data, data
	s.CS = kvm.Segment{Limit: 0xffffffff, Selector: 0x8, Type: 11, Present: 1, S: 1, L: 1, G: 1}
	s.GDT, s.IDT = kvm.DTable{}, kvm.DTable{}
	Must(g.t, g.VCPU.SetSregs(&s))
}

// UserMode moves a guest in long mode to CPL 3, where every host runs code
// natively.
func (g *Guest) UserMode() {
	g.t.Helper()
	var s kvm.Sregs
	Must(g.t, g.VCPU.Sregs(&s))
	s.CS.Selector, s.CS.DPL = 0x33, 3
	for _, seg := range []*kvm.Segment{&s.DS, &s.ES, &s.FS, &s.GS, &s.SS} {
		seg.Selector, seg.DPL = 0x2b, 3
	}
	Must(g.t, g.VCPU.SetSregs(&s))
}

// DoorGPA is outside the guest's memory but inside its page tables: a write
// there is an MMIO exit from any mode.
const DoorGPA = 0x80000

// Knock is code that writes AL to DoorGPA.
func Knock() []byte {
	return []byte{0x88, 0x04, 0x25, 0x00, 0x00, 0x08, 0x00} // mov [0x80000], al
}
