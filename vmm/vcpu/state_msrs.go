package vcpu

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// More MSRs by their names in Intel SDM volume 4 and KVM's msr.rst.
const (
	msrKVMWallOld    = 0x11
	msrKVMSystemOld  = 0x12
	msrKVMWallClock  = 0x4b564d00
	msrKVMSystemTime = 0x4b564d01

	msrMTRRPhysBase = 0x200 // eight pairs of base and mask
	msrMTRRFix64K   = 0x250
	msrMTRRFix16K   = 0x258 // two
	msrMTRRFix4K    = 0x268 // eight
)

// maxSavedMSRs is far more than any kernel lists.
const maxSavedMSRs = 2048

// msrsOf returns which registers make up a processor: those that the host lists
// and the MTRRs, which KVM has but doesn't list. kvm-clock's first names are left
// out: they are the same registers, and KVM takes a write to them for an old guest.
func msrsOf(list []uint32) []uint32 {
	all := append(slices.Clone(list), msrTSC, msrMTRRDefType, msrMTRRFix64K)
	for first, n := range map[uint32]uint32{msrMTRRPhysBase: 16, msrMTRRFix16K: 2, msrMTRRFix4K: 8} {
		for i := range n {
			all = append(all, first+i)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(m uint32) bool {
		return m == msrKVMSystemOld && slices.Contains(list, msrKVMSystemTime) ||
			m == msrKVMWallOld && slices.Contains(list, msrKVMWallClock)
	})
}

// saveMSRs reads the registers, but for those that the host lists and doesn't
// know: which of them exist depends on CPUID.
func saveMSRs(v *kvm.VCPU, list []uint32) ([]*statev1.MSR, error) {
	var rest []kvm.MSREntry
	for _, index := range msrsOf(list) {
		rest = append(rest, kvm.MSREntry{Index: index})
	}
	var saved []*statev1.MSR
	for len(rest) > 0 {
		n, err := v.MSRs(rest)
		for _, e := range rest[:n] {
			saved = append(saved, &statev1.MSR{Index: e.Index, Value: e.Data})
		}
		if err == nil {
			break
		}
		if refused := (*kvm.MSRError)(nil); !errors.As(err, &refused) {
			return nil, err
		}
		rest = rest[n+1:]
	}
	return saved, nil
}

// takeMSRs puts the registers in the order that they are to be written in.
func (p *processor) takeMSRs(s *statev1.CPU) error {
	if n := len(s.GetMsrs()); n > maxSavedMSRs {
		return fmt.Errorf("%d registers, at most %d", n, maxSavedMSRs)
	}
	seen := make(map[uint32]uint64, len(s.GetMsrs()))
	for _, m := range s.GetMsrs() {
		if _, twice := seen[m.GetIndex()]; twice {
			return fmt.Errorf("register %#x is there twice", m.GetIndex())
		}
		seen[m.GetIndex()] = m.GetValue()
		p.msrs = append(p.msrs, kvm.MSREntry{Index: m.GetIndex(), Data: m.GetValue()})
	}
	if _, ok := seen[msrTSC]; !ok {
		return fmt.Errorf("register %#x, the time-stamp counter, isn't there", msrTSC)
	}
	slices.SortStableFunc(p.msrs, func(a, b kvm.MSREntry) int { return turn(a) - turn(b) })
	return nil
}

// hasKVMClock reports whether the guest has kvm-clock on.
func (p *processor) hasKVMClock() bool {
	const on = 1
	return slices.ContainsFunc(p.msrs, func(e kvm.MSREntry) bool { return e.Index == msrKVMSystemTime && e.Data&on != 0 })
}

// turn is when a register is written: a deadline is compared with the counter.
func turn(e kvm.MSREntry) int {
	switch e.Index {
	case msrTSC:
		return 0
	case msrTSCDeadline:
		return 2
	}
	return 1
}

// writeMSRs writes the registers, passes over those that the host refuses if
// nothing is lost by that, and sees to the timer.
func (p *processor) writeMSRs(v *kvm.VCPU) error {
	rest := p.msrs
	if v.ID == 0 {
		rest = slices.Insert(slices.Clone(rest), 0, p.farTSC())
	}
	for len(rest) > 0 {
		n, err := v.SetMSRs(rest)
		if err == nil {
			break
		}
		if refused := (*kvm.MSRError)(nil); !errors.As(err, &refused) {
			return err
		}
		if err := passOver(v, rest[n], err); err != nil {
			return err
		}
		rest = rest[n+1:]
	}
	return p.rearm(v)
}

// passOver fails with *MSRError if a register that was refused had a value that
// it doesn't have here.
func passOver(v *kvm.VCPU, e kvm.MSREntry, refused error) error {
	if e.Data == 0 {
		return nil
	}
	now := []kvm.MSREntry{{Index: e.Index}}
	if _, err := v.MSRs(now); err != nil || now[0].Data != e.Data {
		return &MSRError{e.Index, e.Data, refused}
	}
	return nil
}
