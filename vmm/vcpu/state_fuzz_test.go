package vcpu

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// fuzzXSave is the size of XSAVE areas in the fuzz target.
const fuzzXSave = 64

// seedMachine is a state that decodes, made without a vCPU.
func seedMachine() *statev1.Machine {
	var chip kvm.IRQChip
	cpu := &statev1.CPU{
		Cpuid:     []*statev1.CPUID{{Ebx: ebxGenu}, {Function: leafFeatures, Ecx: 1}},
		Regs:      kvm.Bytes(new(kvm.Regs)),
		Sregs:     kvm.Bytes(new(kvm.Sregs)),
		Xcrs:      kvm.Bytes(&kvm.XCRs{Count: 1}),
		DebugRegs: kvm.Bytes(new(kvm.DebugRegs)),
		Lapic:     kvm.Bytes(new(kvm.LAPIC)),
		Events:    kvm.Bytes(new(kvm.VCPUEvents)),
		Xsave:     make([]byte, fuzzXSave),
		Msrs:      []*statev1.MSR{{Index: msrTSCDeadline, Value: 5}, {Index: msrLSTAR}, {Index: msrTSC, Value: 4}},
		TscKhz:    2_500_000,
	}
	chips := &statev1.Chips{
		PicMaster: chip.Chip[:], PicSlave: chip.Chip[:], Ioapic: chip.Chip[:],
		Pit: kvm.Bytes(new(kvm.PIT)), ClockNs: 1,
	}
	return &statev1.Machine{Cpus: []*statev1.CPU{cpu}, Chips: chips}
}

// FuzzDecode reads any file as a state. What passes has a size and an order that
// KVM can be given.
func FuzzDecode(f *testing.F) {
	add := func(change func(*statev1.Machine)) {
		s := seedMachine()
		change(s)
		b, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(func(*statev1.Machine) {})
	add(func(s *statev1.Machine) { s.Cpus[0].Msrs = nil })
	add(func(s *statev1.Machine) { s.Cpus[0].Lapic = nil })
	add(func(s *statev1.Machine) { s.Cpus[0].Xcrs[0] = 20 })
	add(func(s *statev1.Machine) { s.Cpus[0].Cpuid = nil; s.Chips = nil })
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := new(statev1.Machine)
		if proto.Unmarshal(b, s) != nil {
			return
		}
		decodeChips(s.GetChips())
		for _, cpu := range s.GetCpus() {
			if p, err := decode(cpu, 0, fuzzXSave); err == nil {
				checkDecoded(t, p, cpu)
				compareCPUID(p.cpuid, nil)
			}
		}
	})
}

func checkDecoded(t *testing.T, p *processor, s *statev1.CPU) {
	t.Helper()
	if len(p.xsave) != fuzzXSave || len(p.cpuid) != len(s.GetCpuid()) || len(p.msrs) != len(s.GetMsrs()) {
		t.Errorf("%d bytes of XSAVE, %d leaves of %d, %d MSRs of %d",
			len(p.xsave), len(p.cpuid), len(s.GetCpuid()), len(p.msrs), len(s.GetMsrs()))
	}
	for i, m := range p.msrs {
		if (m.Index == msrTSC) != (i == 0) || m.Index == msrTSCDeadline && i != len(p.msrs)-1 {
			t.Errorf("MSR %#x is number %d of %d", m.Index, i, len(p.msrs))
		}
	}
}

func TestSeedDecodes(t *testing.T) {
	s := seedMachine()
	p, err := decode(s.Cpus[0], 0, fuzzXSave)
	if err != nil {
		t.Fatal(err)
	}
	checkDecoded(t, p, s.Cpus[0])
	if far := p.farTSC(); far.Index != msrTSC || far.Data != 4+1<<40 {
		t.Errorf("the counter is first set to %+v", far)
	}
	if _, _, err := decodeChips(s.Chips); err != nil {
		t.Fatal(err)
	}
}
