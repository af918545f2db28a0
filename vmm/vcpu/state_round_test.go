package vcpu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// newBusyGuest is a guest with something in every part of its state.
func newBusyGuest(t testing.TB) *kvmtest.Guest {
	g := newGuest(t, nil)
	g.LongMode()
	v := g.VCPU
	r := rand.New(rand.NewPCG(1, 2))
	g.SetRegs(func(regs *kvm.Regs) {
		b := kvm.Bytes(regs)
		for i := range b[:16*8] {
			b[i] = byte(r.Uint32())
		}
		kvmtest.Must(t, kvm.FromBytes(b, regs))
		regs.RFLAGS |= 0x8d5 // the arithmetic ones
	})
	var s kvm.Sregs
	kvmtest.Must(t, v.Sregs(&s))
	s.CR2, s.CR8, s.FS.Base, s.GS.Base = 0xdead0000, 5, 0x12345000, 0x6789a000
	s.GDT, s.IDT = kvm.DTable{Base: gdtGPA, Limit: 23}, kvm.DTable{Base: idtGPA, Limit: 0xfff}
	kvmtest.Must(t, v.SetSregs(&s))
	kvmtest.Must(t, v.SetDebugRegs(kvm.DebugRegs{DB: [4]uint64{1, 2, 3, 4}, DR6: 0xffff0ff1, DR7: 0x455}))
	const x87SSE = 3
	kvmtest.Must(t, v.SetXCRs(kvm.XCRs{Count: 1, List: [16]kvm.XCR{{Value: x87SSE}}}))
	area := make([]byte, v.XSaveSize)
	kvmtest.Must(t, v.XSave(area))
	for i := range 256 {
		area[areaXMM+i] = byte(r.Uint32())
	}
	area[areaHeader] |= x87SSE
	kvmtest.Must(t, v.SetXSave(area))
	setTimer(t, v, timerOneShot, 0)
	_, err := v.SetMSRs([]kvm.MSREntry{
		{Index: msrSysenterCS, Data: 0x10}, {Index: msrSysenterESP, Data: 0xffff800000001000},
		{Index: msrSTAR, Data: 0x23001000000000}, {Index: msrLSTAR, Data: 0xffffffff81000000},
		{Index: msrSyscallMask, Data: 0x47700}, {Index: msrKernelGSBase, Data: 0xffff888000000000},
		{Index: msrMTRRPhysBase, Data: 0x80000000}, {Index: msrMTRRPhysBase + 1, Data: 0x3f80000800},
		{Index: msrMTRRFix64K, Data: 0x0606060606060606}, {Index: msrMTRRFix4K + 7, Data: 0x0505050505050505},
	})
	kvmtest.Must(t, err)
	var e kvm.VCPUEvents
	kvmtest.Must(t, v.Events(&e))
	e.NMI.Pending, e.NMI.Masked, e.Interrupt.Shadow = 1, 1, 1
	e.Exception.Injected, e.Exception.Vector, e.Exception.HasErrorCode, e.Exception.ErrorCode = 1, 13, 1, 0x18
	kvmtest.Must(t, v.SetEvents(&e))
	return g
}

// TestRoundTrip saves what was restored. What differs is what goes on by itself:
// the time-stamp counter, kvm-clock, and when the interval timer began its period.
func TestRoundTrip(t *testing.T) {
	g := newBusyGuest(t)
	kvmtest.Must(t, g.VM.SetIRQLine(5, true))
	ioapic, err := g.VM.IRQChip(kvm.ChipIOAPIC)
	kvmtest.Must(t, err)
	ioapic.Chip[24+8*3] = 0x33 // the vector of pin 3
	kvmtest.Must(t, g.VM.SetIRQChip(ioapic))
	kvmtest.Must(t, g.VM.SetClock(kvm.Clock{Clock: 1e15}))
	want := saveGuest(t, g)
	again, _ := restoreGuest(t, g.RAM, want)
	got := saveGuest(t, again)

	if got.Chips.ClockNs < want.Chips.ClockNs {
		t.Errorf("kvm-clock is %d, was %d", got.Chips.ClockNs, want.Chips.ClockNs)
	}
	for _, s := range []*statev1.Machine{got, want} {
		s.Chips.ClockNs = 1
		for channel := range 3 {
			clear(s.Chips.Pit[24*channel+16:][:8])
		}
		s.Cpus[0].Msrs = slices.DeleteFunc(s.Cpus[0].Msrs, func(m *statev1.MSR) bool { return m.Index == msrTSC })
	}
	compare(t, got.Cpus[0], want.Cpus[0])
	compare(t, got.Chips, want.Chips)
}

// compare reports which fields differ.
func compare(t *testing.T, got, want proto.Message) {
	t.Helper()
	g, w := got.ProtoReflect(), want.ProtoReflect()
	fields := w.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !g.Get(f).Equal(w.Get(f)) {
			t.Errorf("%s is\n%v, was\n%v", f.Name(), g.Get(f), w.Get(f))
		}
		if f.Name() != "mp_state" && f.Name() != "id" && !w.Has(f) {
			t.Errorf("there is no %s to compare", f.Name())
		}
	}
}

// TestSavedParts looks for what the busy guest has.
func TestSavedParts(t *testing.T) {
	s := saveGuest(t, newBusyGuest(t)).Cpus[0]
	msrs := make(map[uint32]uint64)
	for _, m := range s.Msrs {
		msrs[m.Index] = m.Value
	}
	for index, want := range map[uint32]uint64{
		msrLSTAR: 0xffffffff81000000, msrKernelGSBase: 0xffff888000000000,
		msrMTRRDefType: mtrrEnable | mtrrWriteBack, msrMTRRPhysBase: 0x80000000,
		msrMTRRFix4K + 7: 0x0505050505050505, msrMiscEnable: miscEnableFastString,
	} {
		if got, ok := msrs[index]; !ok || got != want {
			t.Errorf("MSR %#x is %#x, %v; want %#x", index, got, ok, want)
		}
	}
	for _, alias := range []uint32{msrKVMSystemOld, msrKVMWallOld} {
		if _, ok := msrs[alias]; ok {
			t.Errorf("MSR %#x is saved, which is another's name", alias)
		}
	}
	if n := binary.LittleEndian.Uint32(s.Lapic[lapicSVR:]); n != 0x1ff {
		t.Errorf("the local APIC's SVR is %#x", n)
	}
	if s.TscKhz < 100_000 || len(s.Cpuid) < 10 || bytes.Count(s.Xsave[areaXMM:][:256], []byte{0}) > 30 {
		t.Errorf("%d kHz, %d leaves, XMM registers % x", s.TscKhz, len(s.Cpuid), s.Xsave[areaXMM:][:256])
	}
}

// TestSaveSkipsMSRs asks for registers that there aren't, and for one that is
// refused between two that aren't.
func TestSaveSkipsMSRs(t *testing.T) {
	const absent = 0x4b564dee
	g := newGuest(t, nil)
	s, err := Save(g.VCPU, []uint32{absent, msrLSTAR, absent + 1, msrSTAR, absent + 2})
	kvmtest.Must(t, err)
	var got []uint32
	for _, m := range s.Msrs {
		got = append(got, m.Index)
	}
	for _, want := range []uint32{msrLSTAR, msrSTAR, msrTSC, msrMTRRDefType} {
		if !slices.Contains(got, want) {
			t.Errorf("MSR %#x isn't saved", want)
		}
	}
	for n := range uint32(3) {
		if slices.Contains(got, absent+n) {
			t.Errorf("MSR %#x is saved", absent+n)
		}
	}
}

func TestNestedIsRefused(t *testing.T) {
	for _, s := range []kvm.Sregs{{CR4: cr4VMXE}, {EFER: eferSVME}} {
		err := checkNested(3, &s)
		if e := (*NestedError)(nil); !errors.As(err, &e) || e.CPU != 3 {
			t.Errorf("CR4 %#x, EFER %#x: %v", s.CR4, s.EFER, err)
		}
	}
}
