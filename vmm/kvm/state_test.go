package kvm_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestStateRoundTrips writes back every part of a vCPU's state as it was read;
// a structure of the wrong size would be refused or come back changed.
func TestStateRoundTrips(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip) // hlt
	v := g.VCPU
	cpuid, err := g.System.SupportedCPUID()
	kvmtest.Must(t, err)
	kvmtest.Must(t, v.SetCPUID(cpuid))

	t.Run("regs", func(t *testing.T) {
		want := kvm.Regs{RAX: 1, R15: 15, RIP: 0x1234, RFLAGS: 2}
		kvmtest.Must(t, v.SetRegs(&want))
		if got := g.Regs(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("sregs", func(t *testing.T) {
		var s, again kvm.Sregs
		kvmtest.Must(t, v.Sregs(&s))
		s.FS.Base, s.GDT.Limit, s.CR2 = 0x5000, 0x37, 0xdead
		kvmtest.Must(t, v.SetSregs(&s))
		kvmtest.Must(t, v.Sregs(&again))
		if again != s {
			t.Errorf("got %+v, want %+v", again, s)
		}
	})
	t.Run("fpu", func(t *testing.T) {
		f, err := v.FPU()
		kvmtest.Must(t, err)
		f.XMM[3][0], f.FCW = 42, 0x37f
		kvmtest.Must(t, v.SetFPU(f))
		again, err := v.FPU()
		kvmtest.Must(t, err)
		if again != f {
			t.Errorf("got %+v, want %+v", again, f)
		}
	})
	t.Run("xsave", func(t *testing.T) {
		size, err := g.VM.XSaveSize()
		kvmtest.Must(t, err)
		area, again := make([]byte, size), make([]byte, size)
		kvmtest.Must(t, v.XSave(area))
		const xmm0, xstateBV = 160, 512 // Intel SDM volume 1, section 13.4
		area[xmm0] = 99
		area[xstateBV] |= 2
		kvmtest.Must(t, v.SetXSave(area))
		kvmtest.Must(t, v.XSave(again))
		if again[xmm0] != 99 {
			t.Errorf("XMM0 starts with %d, want 99", again[xmm0])
		}
		for _, wrong := range [][]byte{nil, area[1:], append(area, 0)} {
			var e *kvm.SizeError
			if err := v.XSave(wrong); !errors.As(err, &e) {
				t.Errorf("XSave into %d bytes: %v", len(wrong), err)
			}
			if err := v.SetXSave(wrong); !errors.As(err, &e) {
				t.Errorf("SetXSave of %d bytes: %v", len(wrong), err)
			}
		}
	})
	t.Run("xcrs", func(t *testing.T) { roundTrip(t, v.XCRs, v.SetXCRs) })
	t.Run("debugregs", func(t *testing.T) { roundTrip(t, v.DebugRegs, v.SetDebugRegs) })
	t.Run("lapic", func(t *testing.T) { roundTrip(t, v.LAPIC, v.SetLAPIC) })
	t.Run("mpstate", func(t *testing.T) { roundTrip(t, v.MPState, v.SetMPState) })
	t.Run("events", func(t *testing.T) {
		var e, again kvm.VCPUEvents
		kvmtest.Must(t, v.Events(&e))
		e.NMI.Masked = 1
		kvmtest.Must(t, v.SetEvents(&e))
		kvmtest.Must(t, v.Events(&again))
		if again != e {
			t.Errorf("got %+v, want %+v", again, e)
		}
	})
	t.Run("pit", func(t *testing.T) {
		kvmtest.Must(t, g.VM.CreatePIT())
		p, err := g.VM.PIT()
		kvmtest.Must(t, err)
		kvmtest.Must(t, g.VM.SetPIT(p))
	})
	t.Run("irqchip", func(t *testing.T) {
		for _, id := range []uint32{kvm.ChipPICMaster, kvm.ChipPICSlave, kvm.ChipIOAPIC} {
			roundTrip(t, func() (kvm.IRQChip, error) { return g.VM.IRQChip(id) }, g.VM.SetIRQChip)
		}
	})
	t.Run("clock", func(t *testing.T) {
		kvmtest.Must(t, g.VM.SetClock(kvm.Clock{Clock: 1e15}))
		c, err := g.VM.Clock()
		kvmtest.Must(t, err)
		if c.Clock < 1e15 || c.Clock > 1e15+60e9 {
			t.Errorf("kvm-clock is %d just after it was set to 1e15", c.Clock)
		}
	})
	t.Run("tsc", func(t *testing.T) {
		khz, err := v.TSCKHz()
		kvmtest.Must(t, err)
		if khz < 100_000 {
			t.Errorf("TSC runs at %d kHz", khz)
		}
	})
}

func roundTrip[T comparable](t *testing.T, get func() (T, error), set func(T) error) {
	t.Helper()
	before, err := get()
	kvmtest.Must(t, err)
	kvmtest.Must(t, set(before))
	after, err := get()
	kvmtest.Must(t, err)
	if after != before {
		t.Errorf("got %+v back, want %+v", after, before)
	}
}

func TestMSRs(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4})
	const kernelGSBase, absent = 0xc0000102, 0x4b564dee
	n, err := g.VCPU.SetMSRs([]kvm.MSREntry{{Index: kernelGSBase, Data: 0x1000}})
	if n != 1 || err != nil {
		t.Fatalf("SetMSRs = %d, %v", n, err)
	}
	read := []kvm.MSREntry{{Index: kernelGSBase}, {Index: absent}, {Index: kernelGSBase}}
	n, err = g.VCPU.MSRs(read)
	var refused *kvm.MSRError
	if n != 1 || !errors.As(err, &refused) || refused.Index != absent {
		t.Errorf("MSRs = %d, %v; want 1 and an error about %#x", n, err, absent)
	}
	if read[0].Data != 0x1000 {
		t.Errorf("MSR %#x = %#x, want 0x1000", kernelGSBase, read[0].Data)
	}
}

// TestManyMSRs transfers more than the kernel takes at once.
func TestManyMSRs(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4})
	const kernelGSBase = 0xc0000102
	for _, n := range []int{254, 255, 256, 257, 1000} {
		entries := make([]kvm.MSREntry, n)
		for i := range entries {
			entries[i] = kvm.MSREntry{Index: kernelGSBase, Data: uint64(i)}
		}
		if done, err := g.VCPU.SetMSRs(entries); done != n || err != nil {
			t.Errorf("SetMSRs of %d = %d, %v", n, done, err)
		}
		if done, err := g.VCPU.MSRs(entries); done != n || err != nil || entries[n-1].Data != uint64(n-1) {
			t.Errorf("MSRs of %d = %d, %v; the last is %#x", n, done, err, entries[n-1].Data)
		}
	}
}

func TestMSRIndexList(t *testing.T) {
	list, err := kvmtest.Open(t).MSRIndexList()
	kvmtest.Must(t, err)
	const tsc = 0x10
	if !slices.Contains(list, tsc) {
		t.Errorf("%d MSRs, the TSC not among them", len(list))
	}
}

func TestCPUIDRoundTrips(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4})
	cpuid, err := g.System.SupportedCPUID()
	kvmtest.Must(t, err)
	signature := slices.IndexFunc(cpuid, func(e kvm.CPUIDEntry) bool { return e.Function == 0x40000001 })
	if signature < 0 {
		t.Fatal("KVM's own feature leaf 0x40000001 is not offered")
	}
	cpuid[signature].EAX &^= 1 << 11
	kvmtest.Must(t, g.VCPU.SetCPUID(cpuid))
	got, err := g.VCPU.CPUID()
	kvmtest.Must(t, err)
	if got[signature].EAX != cpuid[signature].EAX {
		t.Errorf("leaf 0x40000001 EAX = %#x, want %#x", got[signature].EAX, cpuid[signature].EAX)
	}
}

func TestGSIRouting(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip)
	kvmtest.Must(t, g.VM.SetGSIRouting([]kvm.Route{
		{GSI: 5, Chip: kvm.ChipIOAPIC, Pin: 5},
		{GSI: 40, MSI: &kvm.MSI{AddressLo: 0xfee00000, Data: 0x41}},
	}))
	if err := g.VM.SetGSIRouting(make([]kvm.Route, 5000)); err == nil {
		t.Error("5000 routes were accepted")
	}
	delivered, err := g.VM.SignalMSI(kvm.MSI{AddressLo: 0xfee00000, Data: 0x41})
	t.Logf("SignalMSI to a vCPU with its APIC off: delivered %v, %v", delivered, err)
}
