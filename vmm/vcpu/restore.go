package vcpu

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Restore makes v, which is new and hasn't run, what another processor was when
// it was saved. supported is System.SupportedCPUID. The machine's memory is in
// place, since KVM writes the guest's clocks to it, and processors are restored in
// the order of their IDs, so that their time-stamp counters agree.
//
// State files may be damaged, forged or of another host. Whatever s says, it fails
// with *StateError if v can't be that here, around *CPUIDError, *TSCError or
// *MSRError if this is for want of another host. v is of no use then.
func Restore(v *kvm.VCPU, s *statev1.CPU, supported []kvm.CPUIDEntry) error {
	p, err := decode(s, v.ID, v.XSaveSize)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		part  string
		write func() error
	}{
		// What the other values may be follows from it.
		{"cpuid", func() error { return p.setCPUID(v, supported) }},
		{"tsc_khz", func() error { return setTSCKHz(v, p.tscKHz) }},
		{"mp_state", func() error { return v.SetMPState(p.mpState) }},
		{"regs", func() error { return v.SetRegs(&p.regs) }},
		{"sregs", func() error { return v.SetSregs(&p.sregs) }},
		{"xcrs", func() error { return p.setXCRs(v) }},
		{"xsave", func() error { return v.SetXSave(p.xsave) }},
		{"debug_regs", func() error { return v.SetDebugRegs(p.debugRegs) }},
		// After the special registers, which have its base and mode, and before the
		// MSRs: a deadline is for a timer that is in that mode.
		{"lapic", func() error { return v.SetLAPIC(p.lapic) }},
		{"msrs", func() error { return p.writeMSRs(v) }},
		// Last: KVM_SET_REGS drops exceptions.
		{"events", func() error { return v.SetEvents(&p.events) }},
	} {
		if err := step.write(); err != nil {
			return blame(v.ID, step.part, err)
		}
	}
	if p.hasKVMClock() {
		// Its watchdogs mustn't take for a hang how long it stays here before it runs.
		// Not every host can say so, and then they are as they are on that host.
		v.KVMClockCtrl()
	}
	return nil
}

// blame tells what is wrong with a state from what is wrong with the host.
func blame(id int, part string, err error) error {
	switch err.(type) {
	case *CPUIDError, *TSCError, *MSRError:
		return &StateError{vcpuName(id), part, err}
	}
	if errors.Is(err, unix.EINVAL) {
		return damaged(vcpuName(id), part, err)
	}
	return fmt.Errorf("restore vCPU %d: %w", id, err)
}

// setCPUID fails with *CPUIDError if this host isn't good enough.
func (p *processor) setCPUID(v *kvm.VCPU, supported []kvm.CPUIDEntry) error {
	if err := checkCPUID(v, supported, p.cpuid); err != nil {
		return err
	}
	return v.SetCPUID(p.cpuid)
}

// setXCRs leaves out what a host without XSAVE doesn't have.
func (p *processor) setXCRs(v *kvm.VCPU) error {
	if p.xcrs.Count == 0 {
		return nil
	}
	return v.SetXCRs(p.xcrs)
}
