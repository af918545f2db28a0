package vcpu

import "github.com/bulkhead-vm/bulkhead/vmm/kvm"

// tscTolerance is by how many parts in a million clocks may differ that are
// called the same, as KVM itself and NTP have it.
const tscTolerance = 250

// setTSCKHz has the guest's time-stamp counter tick as it did, 0 for whatever
// rate. It fails with *TSCError.
func setTSCKHz(v *kvm.VCPU, saved int) error {
	host, err := tscKHz(v)
	if err != nil {
		return err
	}
	switch differs := abs(int(host) - saved); {
	case saved == 0 || host == 0 || differs == 0:
		return nil
	case v.TSCControl:
		return v.SetTSCKHz(saved)
	case differs > saved*tscTolerance/1e6:
		return &TSCError{Saved: saved, Host: int(host)}
	}
	return nil
}

// farTSC is written to a machine's first counter before its value. KVM takes a
// value within a second of what the counter would be by then, from 0 at the
// vCPU's creation, for an attempt to have several agree, and keeps the latter
// (kvm_synchronize_tsc before Linux 6.8): the counter of a guest saved in its
// first second would go back.
func (p *processor) farTSC() kvm.MSREntry {
	return kvm.MSREntry{Index: msrTSC, Data: p.msrs[0].Data + 1<<40}
}

// rearm moves the local APIC's deadline where the host has a time-stamp counter
// of its own mind, as those without hardware virtualization do: the guest sees
// the host's, whatever was written, and would wait for a time that is hours away
// or long gone.
func (p *processor) rearm(v *kvm.VCPU) error {
	deadline := p.msrs[len(p.msrs)-1]
	if deadline.Index != msrTSCDeadline || deadline.Data == 0 {
		return nil
	}
	now := []kvm.MSREntry{{Index: msrTSC}}
	if _, err := v.MSRs(now); err != nil {
		return err
	}
	saved := p.msrs[0].Data
	const soon = 1 << 28 // a tenth of a second
	if off := int64(now[0].Data - saved); off > -soon && off < soon {
		return nil
	}
	deadline.Data += now[0].Data - saved
	deadline.Data = max(deadline.Data, 1) // 0 would disarm it
	_, err := v.SetMSRs([]kvm.MSREntry{deadline})
	return err
}

func abs(n int) int { return max(n, -n) }
