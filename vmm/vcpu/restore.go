package vcpu

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Restore has a new vCPU, which hasn't run, go on where another was that Save
// describes. supported is what the host's KVM offers. It fails with *StateError
// where that can't be had here, whatever the state says.
//
// CPUID comes first, as the rest depends on it; what the vCPU is doing before its
// registers, which setting it may change; the local APIC before the MSRs, one of
// which is its timer's; events last, as for Save.
func Restore(v *kvm.VCPU, s *statev1.CPU, supported []kvm.CPUIDEntry) error {
	d, err := decode(s)
	if err == nil {
		err = d.compatible(v, supported)
	}
	if err == nil {
		err = d.restore(v)
	}
	var refused *kvm.MSRError
	var size *kvm.SizeError
	if errors.As(err, &refused) || errors.As(err, &size) {
		err = &StateError{err.Error() + ": restore it on a host with the same kind of processor"}
	}
	if err != nil {
		return fmt.Errorf("restore vCPU %d: %w", v.ID, err)
	}
	return nil
}

// StateError says why a processor can't go on here.
type StateError struct{ What string }

func (e *StateError) Error() string { return "state of a processor: " + e.What }

// compatible reports what its guest has seen that this host lacks. Hosts that keep
// their own values for some leaves have what these say, supported or not.
func (d *decoded) compatible(v *kvm.VCPU, supported []kvm.CPUIDEntry) error {
	first := compatible(d.cpuid, supported)
	if first == nil {
		return nil
	}
	if v.SetCPUID(supported) != nil {
		return first
	}
	kept, err := v.CPUID()
	if err != nil || compatible(d.cpuid, kept) != nil {
		return first
	}
	return nil
}

func (d *decoded) restore(v *kvm.VCPU) error {
	for _, step := range []func() error{
		func() error { return v.SetCPUID(d.cpuid) },
		func() error { return v.SetMPState(d.mpState) },
		func() error { return v.SetRegs(&d.regs) },
		func() error { return v.SetSregs(&d.sregs) },
		func() error { return v.SetXCRs(d.xcrs) },
		func() error { return v.SetXSave(d.xsave) },
		func() error { return v.SetDebugRegs(d.debugRegs) },
		func() error { return v.SetLAPIC(d.lapic) },
		func() error { return d.setTSC(v) },
		func() error { return setMSRs(v, d.msrs) },
		func() error { return v.SetEvents(&d.events) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	// The guest's watchdogs are told that it stood still, where it uses kvm-clock.
	v.KVMClockCtrl()
	return nil
}

// maxTSCDrift is by how many millionths two hosts' time-stamp counters may differ
// in their frequency: no more than one host's from boot to boot.
const maxTSCDrift = 250

// setTSC has the time-stamp counter go as fast as it did.
func (d *decoded) setTSC(v *kvm.VCPU) error {
	if d.tscKHz == 0 {
		return nil
	}
	here, err := v.TSCKHz()
	if err != nil || here == 0 {
		return nil // the host doesn't know, nor did the guest learn it from here
	}
	drift := int64(here) - int64(d.tscKHz)
	if max(drift, -drift)*1e6 <= maxTSCDrift*int64(here) {
		return nil
	}
	if !v.TSCControl {
		return &StateError{fmt.Sprintf("its time-stamp counter ran at %d kHz, this host's runs at %d and can't be scaled: restore it on a host like that",
			d.tscKHz, here)}
	}
	return v.SetTSCKHz(int(d.tscKHz))
}

// setMSRs writes registers. One that the host refuses matters only where the guest
// would find something else in it.
func setMSRs(v *kvm.VCPU, entries []kvm.MSREntry) error {
	for len(entries) > 0 {
		n, err := v.SetMSRs(entries)
		if err == nil {
			return nil
		}
		var refused *kvm.MSRError
		if !errors.As(err, &refused) {
			return err
		}
		if e := entries[n]; e.Data != 0 && !reads(v, e) {
			return err
		}
		entries = entries[n+1:]
	}
	return nil
}

// reads reports whether a register has a value already.
func reads(v *kvm.VCPU, e kvm.MSREntry) bool {
	got := []kvm.MSREntry{{Index: e.Index}}
	n, err := v.MSRs(got)
	return err == nil && n == 1 && got[0].Data == e.Data
}
