package vcpu

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns the state of a vCPU at rest: one that a CPU has paused, or that
// nobody runs. msrs are those to save, of which the host may lack some; see
// kvm.System.MSRIndexList.
//
// What the vCPU is doing comes first: asking for it makes KVM deal with INIT and
// SIPI that wait, which changes registers. Events come last, as it is said in the
// KVM API that the other calls may change them.
func Save(v *kvm.VCPU, msrs []uint32) (*statev1.CPU, error) {
	s := &statev1.CPU{Id: uint32(v.ID), Xsave: make([]byte, v.XSaveSize)}
	for _, step := range []func() error{
		func() error { return saveMPState(v, s) },
		func() error { return save(&s.Regs, v.Regs) },
		func() error { return save(&s.Sregs, v.Sregs) },
		func() error { return v.XSave(s.Xsave) },
		func() error { return save(&s.Xcrs, into(v.XCRs)) },
		func() error { return save(&s.DebugRegs, into(v.DebugRegs)) },
		func() error { return save(&s.Lapic, into(v.LAPIC)) },
		func() error { return saveCPUID(v, s) },
		func() error { return saveMSRs(v, s, msrs) },
		func() error { return save(&s.Events, v.Events) },
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("save vCPU %d: %w", v.ID, err)
		}
	}
	if khz, err := v.TSCKHz(); err == nil { // some hosts don't know
		s.TscKhz = uint32(khz)
	}
	return s, nil
}

// save reads one of the kernel's structures.
func save[T kvm.ABI](to *[]byte, read func(*T) error) error {
	var t T
	if err := read(&t); err != nil {
		return err
	}
	*to = kvm.Bytes(&t)
	return nil
}

// into has a function that returns a structure fill one in.
func into[T any](read func() (T, error)) func(*T) error {
	return func(t *T) (err error) {
		*t, err = read()
		return err
	}
}

func saveMPState(v *kvm.VCPU, s *statev1.CPU) error {
	m, err := v.MPState()
	s.MpState = uint32(m)
	return err
}

func saveCPUID(v *kvm.VCPU, s *statev1.CPU) error {
	entries, err := v.CPUID()
	for _, e := range entries {
		s.Cpuid = append(s.Cpuid, &statev1.CPUID{
			Function: e.Function, Index: e.Index, Flags: e.Flags, Eax: e.EAX, Ebx: e.EBX, Ecx: e.ECX, Edx: e.EDX,
		})
	}
	return err
}

// saveMSRs reads those registers that the host has: what a list names may need a
// feature that this machine is without.
func saveMSRs(v *kvm.VCPU, s *statev1.CPU, msrs []uint32) error {
	entries := make([]kvm.MSREntry, len(msrs))
	for i, index := range msrs {
		entries[i].Index = index
	}
	for len(entries) > 0 {
		n, err := v.MSRs(entries)
		for _, e := range entries[:n] {
			s.Msrs = append(s.Msrs, &statev1.MSR{Index: e.Index, Value: e.Data})
		}
		var refused *kvm.MSRError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		entries = entries[min(n+1, len(entries)):]
	}
	return nil
}
