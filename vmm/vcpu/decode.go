package vcpu

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// processor is a saved state as KVM takes it.
type processor struct {
	cpuid     []kvm.CPUIDEntry
	tscKHz    int // 0 if the host didn't tell
	mpState   kvm.MPState
	regs      kvm.Regs
	sregs     kvm.Sregs
	xcrs      kvm.XCRs
	xsave     []byte
	debugRegs kvm.DebugRegs
	lapic     kvm.LAPIC
	events    kvm.VCPUEvents
	// msrs has the time-stamp counter first and its deadline, if any, last.
	msrs []kvm.MSREntry
}

// decode checks all that can be without a vCPU: s is of the vCPU of that ID, and
// every part has the size that the host's KVM takes, which would otherwise read
// beyond its end. What the values mean KVM checks itself. It fails with
// *StateError.
func decode(s *statev1.CPU, id, xsaveSize int) (*processor, error) {
	p := &processor{
		tscKHz:  int(s.GetTscKhz()),
		mpState: kvm.MPState(s.GetMpState()),
		xsave:   s.GetXsave(),
	}
	for _, part := range []struct {
		name string
		err  error
	}{
		{"id", p.checkID(s, id)},
		{"cpuid", p.takeCPUID(s)},
		{"mp_state", p.checkMPState()},
		{"regs", kvm.FromBytes(s.GetRegs(), &p.regs)},
		{"sregs", kvm.FromBytes(s.GetSregs(), &p.sregs)},
		{"xcrs", kvm.FromBytes(s.GetXcrs(), &p.xcrs)},
		{"xcrs", p.checkXCRs()},
		{"xsave", p.checkXSave(xsaveSize)},
		{"debug_regs", kvm.FromBytes(s.GetDebugRegs(), &p.debugRegs)},
		{"lapic", kvm.FromBytes(s.GetLapic(), &p.lapic)},
		{"events", kvm.FromBytes(s.GetEvents(), &p.events)},
		{"msrs", p.takeMSRs(s)},
	} {
		if part.err != nil {
			return nil, damaged(vcpuName(id), part.name, part.err)
		}
	}
	return p, nil
}

func (p *processor) checkID(s *statev1.CPU, id int) error {
	if s.GetId() != uint32(id) {
		return fmt.Errorf("it is of vCPU %d", s.GetId())
	}
	return nil
}

// maxCPUIDEntries is KVM_MAX_CPUID_ENTRIES.
const maxCPUIDEntries = 256

func (p *processor) takeCPUID(s *statev1.CPU) error {
	if n := len(s.GetCpuid()); n == 0 || n > maxCPUIDEntries {
		return fmt.Errorf("%d leaves, want from 1 to %d", n, maxCPUIDEntries)
	}
	p.cpuid = make([]kvm.CPUIDEntry, 0, len(s.GetCpuid()))
	for _, e := range s.GetCpuid() {
		p.cpuid = append(p.cpuid, kvm.CPUIDEntry{
			Function: e.GetFunction(), Index: e.GetIndex(), Flags: e.GetFlags(),
			EAX: e.GetEax(), EBX: e.GetEbx(), ECX: e.GetEcx(), EDX: e.GetEdx(),
		})
	}
	return nil
}

func (p *processor) checkMPState() error {
	if p.mpState > kvm.MPStateSIPIReceived {
		return fmt.Errorf("there is no state %d", p.mpState)
	}
	return nil
}

func (p *processor) checkXCRs() error {
	if int(p.xcrs.Count) > len(p.xcrs.List) {
		return fmt.Errorf("%d registers, at most %d", p.xcrs.Count, len(p.xcrs.List))
	}
	return nil
}

func (p *processor) checkXSave(want int) error {
	if len(p.xsave) != want {
		return fmt.Errorf("the host's processor has another set of extended states: %w", &kvm.SizeError{Got: len(p.xsave), Want: want})
	}
	return nil
}
