package vcpu

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// fresh returns a vCPU in a machine of its own, and what the host supports.
func fresh(t testing.TB) (*kvm.VM, *kvm.VCPU, []kvm.CPUIDEntry, []uint32) {
	t.Helper()
	sys := kvmtest.Open(t)
	supported, err := sys.SupportedCPUID()
	if err != nil {
		t.Fatal(err)
	}
	msrs, err := sys.MSRIndexList()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := sys.CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Close() })
	if err := errors.Join(vm.SetTSSAddr(0xfffbd000), vm.CreateIRQChip(), vm.CreatePIT()); err != nil {
		t.Fatal(err)
	}
	v, err := vm.CreateVCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return vm, v, supported, msrs
}

// saved returns the state of a processor that has something in most registers.
func saved(t testing.TB) *statev1.CPU {
	t.Helper()
	_, v, supported, msrs := fresh(t)
	if err := (Template{CPUs: 1}).Reset(v, supported); err != nil {
		t.Fatal(err)
	}
	var s kvm.Sregs
	err := errors.Join(v.Sregs(&s), v.SetRegs(&kvm.Regs{RAX: 1, R15: 2, RIP: 0x1234, RFLAGS: rflagsReserved}))
	s.FS.Base, s.CR2 = 0x7f0000001000, 0xdead000
	err = errors.Join(err, v.SetSregs(&s), v.SetMPState(kvm.MPStateHalted))
	d, e := v.DebugRegs()
	d.DB[1] = 0x4000
	err = errors.Join(err, e, v.SetDebugRegs(d))
	area := make([]byte, v.XSaveSize)
	err = errors.Join(err, v.XSave(area))
	const xmm3 = 160 + 3*16
	copy(area[xmm3:], "sixteen of bytes")
	area[512] |= 3 // XSTATE_BV: x87 and SSE are in use
	err = errors.Join(err, v.SetXSave(area))
	_, e = v.SetMSRs([]kvm.MSREntry{{Index: msrLSTAR, Data: 0xffff800000001000}, {Index: msrKernelGSBase, Data: 0x1000}})
	if err := errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	c, err := Save(v, msrs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRestoreIsWhatWasSaved saves a processor that goes on where another was: all
// but its clocks are the same.
func TestRestoreIsWhatWasSaved(t *testing.T) {
	first := saved(t)
	_, v, supported, msrs := fresh(t)
	if err := Restore(v, first, supported); err != nil {
		t.Fatal(err)
	}
	second, err := Save(v, msrs)
	if err != nil {
		t.Fatal(err)
	}
	was, is := values(first), values(second)
	for index, value := range was {
		if index != msrTSC && is[index] != value {
			t.Errorf("MSR %#x is %#x, was %#x", index, is[index], value)
		}
	}
	if is[msrTSC] < was[msrTSC] {
		t.Errorf("the time-stamp counter went back from %d to %d", was[msrTSC], is[msrTSC])
	}
	first.Msrs, second.Msrs = nil, nil
	if !bytes.Contains(second.GetXsave(), []byte("sixteen of bytes")) {
		t.Error("XMM3 is lost")
	}
	if !proto.Equal(first, second) {
		t.Errorf("another processor:\n%v\n%v", first, second)
	}
}

func values(s *statev1.CPU) map[uint32]uint64 {
	all := map[uint32]uint64{}
	for _, m := range s.GetMsrs() {
		all[m.GetIndex()] = m.GetValue()
	}
	return all
}

// TestRestoreRefuses has states that no host of this kind has made: each is refused
// with the reason.
func TestRestoreRefuses(t *testing.T) {
	whole := saved(t)
	for name, tt := range map[string]struct {
		change func(*statev1.CPU)
		want   string
	}{
		"nothing":              {func(s *statev1.CPU) { proto.Reset(s) }, "registers"},
		"short registers":      {func(s *statev1.CPU) { s.Regs = s.Regs[1:] }, "registers"},
		"long events":          {func(s *statev1.CPU) { s.Events = append(s.Events, 0) }, "events"},
		"a larger XSAVE area":  {func(s *statev1.CPU) { s.Xsave = append(s.Xsave, make([]byte, 64)...) }, "same kind of processor"},
		"no XSAVE area":        {func(s *statev1.CPU) { s.Xsave = nil }, "same kind of processor"},
		"many MSRs":            {func(s *statev1.CPU) { s.Msrs = make([]*statev1.MSR, maxMSRs+1) }, "MSRs"},
		"an MSR that isn't":    {func(s *statev1.CPU) { s.Msrs = append(s.Msrs, &statev1.MSR{Index: 0xdeadbeef, Value: 1}) }, "0xdeadbeef"},
		"no CPUID":             {func(s *statev1.CPU) { s.Cpuid = nil }, "CPUID"},
		"another vendor":       {func(s *statev1.CPU) { leaf(s, leafVendor).Ebx = 0x21212121 }, "vendor"},
		"a feature of another": {func(s *statev1.CPU) { leaf(s, leafKVMFeatures).Eax |= 1 << 30 }, "0x40000001.EAX 0x40000000"},
		"another clock":        {func(s *statev1.CPU) { s.TscKhz *= 2 }, "time-stamp counter"},
	} {
		t.Run(name, func(t *testing.T) {
			_, v, supported, _ := fresh(t)
			s := proto.CloneOf(whole)
			if tt.change(s); name == "another clock" && (v.TSCControl || whole.GetTscKhz() == 0) {
				return // the host can do that, or doesn't know
			}
			err := Restore(v, s, supported)
			var state *StateError
			if !errors.As(err, &state) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func leaf(s *statev1.CPU, function uint32) *statev1.CPUID {
	for _, e := range s.GetCpuid() {
		if e.GetFunction() == function {
			return e
		}
	}
	return new(statev1.CPUID)
}

// TestChips saves interrupt controllers, the timer and the clock of a machine that
// goes on elsewhere, and refuses what isn't whole.
func TestChips(t *testing.T) {
	vm, _, _, _ := fresh(t)
	first, err := SaveChips(vm)
	if err != nil {
		t.Fatal(err)
	}
	first.Ioapic[24] ^= 0x10 // part of a redirection entry
	first.ClockNs += 1e12
	other, _, _, _ := fresh(t)
	if err := RestoreChips(other, first); err != nil {
		t.Fatal(err)
	}
	second, err := SaveChips(other)
	if err != nil {
		t.Fatal(err)
	}
	if second.GetClockNs() < first.GetClockNs() || second.GetClockNs() > first.GetClockNs()+60e9 {
		t.Errorf("kvm-clock was %d, is %d", first.GetClockNs(), second.GetClockNs())
	}
	if !bytes.Equal(first.GetIoapic(), second.GetIoapic()) || !bytes.Equal(first.GetPicMaster(), second.GetPicMaster()) {
		t.Error("the interrupt controllers are others")
	}
	for name, change := range map[string]func(*statev1.Chips){
		"no IOAPIC":   func(s *statev1.Chips) { s.Ioapic = nil },
		"a long PIC":  func(s *statev1.Chips) { s.PicSlave = append(s.PicSlave, 1) },
		"half a PIT":  func(s *statev1.Chips) { s.Pit = s.Pit[8:] },
		"nothing yet": func(s *statev1.Chips) { proto.Reset(s) },
	} {
		s := proto.CloneOf(first)
		change(s)
		var state *StateError
		if err := RestoreChips(other, s); !errors.As(err, &state) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: whatever a file says, it is decoded or refused.
func FuzzDecode(f *testing.F) {
	whole := &statev1.CPU{
		Regs: kvm.Bytes(&kvm.Regs{}), Sregs: kvm.Bytes(&kvm.Sregs{}), Xcrs: kvm.Bytes(&kvm.XCRs{}),
		DebugRegs: kvm.Bytes(&kvm.DebugRegs{}), Lapic: kvm.Bytes(&kvm.LAPIC{}), Events: kvm.Bytes(&kvm.VCPUEvents{}),
		Msrs: []*statev1.MSR{{Index: msrTSCDeadline}, {Index: msrTSC}}, Cpuid: []*statev1.CPUID{{Function: 1}},
	}
	b, err := proto.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := new(statev1.CPU)
		if proto.Unmarshal(b, s) != nil {
			return
		}
		d, err := decode(s)
		if err != nil {
			return
		}
		if n := len(d.msrs); n > 1 && d.msrs[n-1].Index == msrTSC && d.msrs[0].Index != msrTSC {
			t.Error("the time-stamp counter isn't set first")
		}
	})
}

// BenchmarkRestore is what a vCPU takes to go on, beside being made.
func BenchmarkRestore(b *testing.B) {
	s := saved(b)
	_, v, supported, _ := fresh(b)
	for b.Loop() {
		if err := Restore(v, s, supported); err != nil {
			b.Fatal(err)
		}
	}
}
