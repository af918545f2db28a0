package vcpu

import (
	"fmt"
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// What a state may have at most: more than any host.
const (
	maxCPUID = 1024
	maxMSRs  = 4096
)

// decoded is a saved processor in the kernel's terms.
type decoded struct {
	cpuid     []kvm.CPUIDEntry
	mpState   kvm.MPState
	regs      kvm.Regs
	sregs     kvm.Sregs
	xcrs      kvm.XCRs
	xsave     []byte
	debugRegs kvm.DebugRegs
	lapic     kvm.LAPIC
	events    kvm.VCPUEvents
	tscKHz    uint32
	msrs      []kvm.MSREntry
}

// decode checks the shape of a state, which may come from anywhere. Whether the
// values make sense is KVM's to say: a guest can do itself no more harm with them
// than by running.
func decode(s *statev1.CPU) (*decoded, error) {
	d := &decoded{mpState: kvm.MPState(s.GetMpState()), xsave: s.GetXsave(), tscKHz: s.GetTscKhz()}
	for _, part := range []struct {
		name string
		err  error
	}{
		{"registers", kvm.FromBytes(s.GetRegs(), &d.regs)},
		{"special registers", kvm.FromBytes(s.GetSregs(), &d.sregs)},
		{"extended control registers", kvm.FromBytes(s.GetXcrs(), &d.xcrs)},
		{"debug registers", kvm.FromBytes(s.GetDebugRegs(), &d.debugRegs)},
		{"local APIC", kvm.FromBytes(s.GetLapic(), &d.lapic)},
		{"events", kvm.FromBytes(s.GetEvents(), &d.events)},
	} {
		if part.err != nil {
			return nil, &StateError{fmt.Sprintf("%s: %v", part.name, part.err)}
		}
	}
	if len(s.GetCpuid()) > maxCPUID || len(s.GetMsrs()) > maxMSRs {
		return nil, &StateError{fmt.Sprintf("%d leaves of CPUID and %d MSRs", len(s.GetCpuid()), len(s.GetMsrs()))}
	}
	for _, e := range s.GetCpuid() {
		d.cpuid = append(d.cpuid, kvm.CPUIDEntry{
			Function: e.GetFunction(), Index: e.GetIndex(), Flags: e.GetFlags(),
			EAX: e.GetEax(), EBX: e.GetEbx(), ECX: e.GetEcx(), EDX: e.GetEdx(),
		})
	}
	for _, m := range s.GetMsrs() {
		d.msrs = append(d.msrs, kvm.MSREntry{Index: m.GetIndex(), Data: m.GetValue()})
	}
	slices.SortStableFunc(d.msrs, func(a, b kvm.MSREntry) int { return turn(a) - turn(b) })
	return d, nil
}

// turn says when an MSR is written: the time-stamp counter before its deadline,
// which would have passed otherwise or be far away; all others in between.
func turn(e kvm.MSREntry) int {
	switch e.Index {
	case msrTSC:
		return 0
	case msrTSCDeadline:
		return 2
	}
	return 1
}
