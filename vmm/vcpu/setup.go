package vcpu

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Reset gives a new vCPU what every processor of the machine has at power-on:
// CPUID, made of what KVM supports, then MSRs (which of them exist follows from
// CPUID), and the local APIC's wiring.
func (t Template) Reset(v *kvm.VCPU, supported []kvm.CPUIDEntry) error {
	if err := v.SetCPUID(t.CPUID(supported, v.ID)); err != nil {
		return fmt.Errorf("vCPU %d: %w", v.ID, err)
	}
	if _, err := v.SetMSRs(bootMSRs()); err != nil {
		return fmt.Errorf("vCPU %d: %w", v.ID, err)
	}
	if err := t.wireLAPIC(v); err != nil {
		return fmt.Errorf("vCPU %d: %w", v.ID, err)
	}
	return nil
}

// The local vector table; Intel SDM volume 3, section 12.5.1.
const (
	lapicLINT0     = 0x350
	lapicLINT1     = 0x360
	deliveryExtINT = 7 << 8
	deliveryNMI    = 4 << 8
	lvtMasked      = 1 << 16
)

// wireLAPIC connects LINT0 to the PIC, if there is one, and LINT1 to NMI, as
// the MP table or the MADT says. KVM's PIC is always there: a guest that hasn't
// been told of it doesn't mask it, and would get each device's interrupt from
// it as well, as an exception.
func (t Template) wireLAPIC(v *kvm.VCPU) error {
	lapic, err := v.LAPIC()
	if err != nil {
		return err
	}
	lint0 := uint32(deliveryExtINT)
	if t.NoPIC {
		lint0 = lvtMasked
	}
	binary.LittleEndian.PutUint32(lapic.Regs[lapicLINT0:], lint0)
	binary.LittleEndian.PutUint32(lapic.Regs[lapicLINT1:], deliveryNMI)
	return v.SetLAPIC(lapic)
}

// Control register bits; Intel SDM volume 3, sections 2.2.1 and 2.5.
const (
	cr0PE   = 1 << 0
	cr0ET   = 1 << 4
	cr0PG   = 1 << 31
	cr4PAE  = 1 << 5
	eferLME = 1 << 8
	eferLMA = 1 << 10

	cr4VMXE  = 1 << 13 // the guest runs guests, on Intel...
	eferSVME = 1 << 12 // and on AMD

	rflagsReserved = 1 << 1 // always one
)

// SetEntry makes v, the machine's first processor, start at e.
func SetEntry(v *kvm.VCPU, e boot.Entry) error {
	var s kvm.Sregs
	if err := v.Sregs(&s); err != nil {
		return err
	}
	s.CS = segment(e, e.CS)
	data := segment(e, e.DS)
	s.DS, s.ES, s.FS, s.GS, s.SS = data, data, data, data, data
	s.TR = segment(e, e.TR)
	s.GDT = kvm.DTable{Base: uint64(e.GDTBase), Limit: uint16(len(e.GDT)*8 - 1)}
	s.IDT = kvm.DTable{}
	s.CR0 = cr0PE | cr0ET
	s.CR4, s.EFER = 0, 0
	if e.Mode == boot.LongMode {
		s.CR3 = uint64(e.CR3)
		s.CR4 = cr4PAE
		s.CR0 |= cr0PG
		s.EFER = eferLME | eferLMA
	}
	if err := v.SetSregs(&s); err != nil {
		return err
	}
	return v.SetRegs(&kvm.Regs{
		RIP:    uint64(e.RIP),
		RSP:    uint64(e.RSP),
		RBP:    uint64(e.RSP),
		RSI:    uint64(e.RSI),
		RBX:    uint64(e.RBX),
		RFLAGS: rflagsReserved,
	})
}

// segment unpacks a descriptor into the hidden part of a segment register.
func segment(e boot.Entry, selector uint16) kvm.Segment {
	d := e.GDT[selector/8]
	return kvm.Segment{
		Base:     d.Base(),
		Limit:    d.Limit(),
		Selector: selector,
		Type:     d.Bits(40, 4),
		S:        d.Bits(44, 1),
		DPL:      d.Bits(45, 2),
		Present:  d.Bits(47, 1),
		AVL:      d.Bits(52, 1),
		L:        d.Bits(53, 1),
		DB:       d.Bits(54, 1),
		G:        d.Bits(55, 1),
	}
}
