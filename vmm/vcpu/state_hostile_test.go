package vcpu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// cpuParts and chipParts are what a state has in bytes.
func cpuParts(s *statev1.CPU) map[string]*[]byte {
	return map[string]*[]byte{
		"regs": &s.Regs, "sregs": &s.Sregs, "xcrs": &s.Xcrs, "debug_regs": &s.DebugRegs,
		"lapic": &s.Lapic, "events": &s.Events, "xsave": &s.Xsave,
	}
}

func chipParts(s *statev1.Chips) map[string]*[]byte {
	return map[string]*[]byte{"pic_master": &s.PicMaster, "pic_slave": &s.PicSlave, "ioapic": &s.Ioapic, "pit": &s.Pit}
}

// wrongLengths are the lengths that something of n bytes doesn't have.
func wrongLengths(n int) []int { return []int{0, 1, n - 1, n + 1, 2 * n, 1 << 20} }

// TestStateErrors damages a good state in each way that can be seen without a
// vCPU, which stays as it was.
func TestStateErrors(t *testing.T) {
	good := saveGuest(t, newBusyGuest(t)).Cpus[0]
	g := newGuest(t, nil)
	v, supported := g.VCPU, supportedBy(t, g)
	refuse := func(name, part string, change func(*statev1.CPU)) {
		t.Helper()
		s := proto.CloneOf(good)
		change(s)
		err := Restore(v, s, supported)
		if e := (*StateError)(nil); !errors.As(err, &e) || e.Part != part {
			t.Errorf("%s: %v", name, err)
		}
	}
	for part, b := range cpuParts(proto.CloneOf(good)) {
		for _, n := range wrongLengths(len(*b)) {
			refuse(fmt.Sprintf("%s of %d bytes", part, n), part, func(s *statev1.CPU) { *cpuParts(s)[part] = make([]byte, n) })
		}
	}
	refuse("of another vCPU", "id", func(s *statev1.CPU) { s.Id = 1 })
	refuse("no CPUID", "cpuid", func(s *statev1.CPU) { s.Cpuid = nil })
	refuse("300 leaves", "cpuid", func(s *statev1.CPU) { s.Cpuid = make([]*statev1.CPUID, 300) })
	refuse("MP state 5", "mp_state", func(s *statev1.CPU) { s.MpState = 5 })
	refuse("MP state -1", "mp_state", func(s *statev1.CPU) { s.MpState = 1<<32 - 1 })
	refuse("17 XCRs", "xcrs", func(s *statev1.CPU) { s.Xcrs[0] = 17 })
	refuse("2^31 XCRs", "xcrs", func(s *statev1.CPU) { s.Xcrs[3] = 0x80 })
	refuse("no MSRs", "msrs", func(s *statev1.CPU) { s.Msrs = nil })
	refuse("no time-stamp counter", "msrs", func(s *statev1.CPU) {
		s.Msrs = slices.DeleteFunc(s.Msrs, func(m *statev1.MSR) bool { return m.Index == msrTSC })
	})
	refuse("an MSR twice", "msrs", func(s *statev1.CPU) { s.Msrs = append(s.Msrs, s.Msrs[3]) })
	refuse("many MSRs", "msrs", func(s *statev1.CPU) {
		for i := range uint32(maxSavedMSRs) {
			s.Msrs = append(s.Msrs, &statev1.MSR{Index: 0x8000_0000 + i})
		}
	})
	refuse("nothing", "cpuid", func(s *statev1.CPU) { proto.Reset(s) })
	if err := Restore(v, nil, supported); err == nil {
		t.Error("no state at all was restored")
	}
	kvmtest.Must(t, Restore(v, good, supported))
}

func TestChipErrors(t *testing.T) {
	g := newGuest(t, nil)
	good := saveGuest(t, g).Chips
	for part, b := range chipParts(proto.CloneOf(good)) {
		for _, n := range wrongLengths(len(*b)) {
			s := proto.CloneOf(good)
			*chipParts(s)[part] = make([]byte, n)
			err := RestoreChips(g.VM, s)
			if e := (*StateError)(nil); !errors.As(err, &e) || e.Part != part {
				t.Errorf("%s of %d bytes: %v", part, n, err)
			}
		}
	}
	if err := RestoreChips(g.VM, nil); err == nil {
		t.Error("no chips at all were restored")
	}
	kvmtest.Must(t, RestoreChips(g.VM, good))
}

// TestNonsense has every part be noise of the right length: KVM takes it or
// doesn't, and that is all there is to it.
func TestNonsense(t *testing.T) {
	good := saveGuest(t, newBusyGuest(t))
	r := rand.New(rand.NewPCG(3, 4))
	noise := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	taken, refused := 0, 0
	count := func(err error) {
		if err == nil {
			taken++
			return
		}
		refused++
		if e := (*StateError)(nil); !errors.As(err, &e) {
			t.Errorf("refused as a mistake of the host's: %v", err)
		}
	}
	for range 2 {
		for part := range cpuParts(good.Cpus[0]) {
			s := proto.CloneOf(good.Cpus[0])
			noise(*cpuParts(s)[part])
			count(restoreNew(t, s))
		}
		for part := range chipParts(good.Chips) {
			s := proto.CloneOf(good.Chips)
			noise(*chipParts(s)[part])
			count(RestoreChips(newGuest(t, nil).VM, s))
		}
		s := proto.CloneOf(good.Cpus[0])
		for _, e := range s.Cpuid {
			e.Function, e.Index, e.Flags, e.Eax, e.Ecx = r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()
		}
		count(restoreNew(t, s))
	}
	t.Logf("KVM took %d states of noise and refused %d", taken, refused)
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func restoreNew(t *testing.T, s *statev1.CPU) error {
	g := newGuest(t, nil)
	return Restore(g.VCPU, s, supportedBy(t, g))
}

// TestMSRErrors saves registers that this host refuses.
func TestMSRErrors(t *testing.T) {
	const absent = 0x4b564dee
	good := saveGuest(t, newBusyGuest(t)).Cpus[0]
	with := func(index uint32, value uint64) error {
		s := proto.CloneOf(good)
		s.Msrs = slices.DeleteFunc(s.Msrs, func(m *statev1.MSR) bool { return m.Index == index })
		s.Msrs = slices.Insert(s.Msrs, 5, &statev1.MSR{Index: index, Value: value})
		g := newGuest(t, nil)
		err := Restore(g.VCPU, s, supportedBy(t, g))
		if err == nil && readMSR(t, g.VCPU, msrLSTAR) != 0xffffffff81000000 {
			t.Errorf("MSR %#x = %#x: those after it weren't written", index, value)
		}
		return err
	}
	if err := with(absent, 0); err != nil {
		t.Errorf("a register that isn't there, of value 0: %v", err)
	}
	for index, value := range map[uint32]uint64{
		absent:       1,
		msrMTRRFix4K: 0x0202020202020202, // no memory type
	} {
		err := with(index, value)
		if e := (*MSRError)(nil); !errors.As(err, &e) || e.Index != index || e.Value != value {
			t.Errorf("MSR %#x = %#x: %v", index, value, err)
		}
	}
}

// TestRefusedMSRPasses has a register refused that has its value already.
func TestRefusedMSRPasses(t *testing.T) {
	v := newGuest(t, nil).VCPU
	refused := &kvm.MSRError{Index: msrMTRRDefType}
	if err := passOver(v, kvm.MSREntry{Index: msrMTRRDefType, Data: mtrrEnable | mtrrWriteBack}, refused); err != nil {
		t.Error(err)
	}
	if err := passOver(v, kvm.MSREntry{Index: msrMTRRDefType, Data: mtrrEnable}, refused); err == nil {
		t.Error("another value than it has was passed over")
	}
}
