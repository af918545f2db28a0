package vcpu

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// bus is a device that answers every read with 0x5a and calls write.
type bus struct {
	mu    sync.Mutex
	wrote []byte
	write func()
}

func (b *bus) Read(_ uint64, data []byte) {
	for i := range data {
		data[i] = 0x5a
	}
}

func (b *bus) Write(_ uint64, data []byte) {
	b.mu.Lock()
	b.wrote = append(b.wrote, data...)
	b.mu.Unlock()
	if b.write != nil {
		b.write()
	}
}

func (b *bus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.wrote)
}

// start runs a guest's CPU; its error arrives on the channel.
func start(g *kvmtest.Guest, pio, mmio Bus) (*CPU, chan error) {
	c := New(g.VCPU, pio, mmio, nil, nil)
	ended := make(chan error, 1)
	go func() { ended <- c.Run() }()
	return c, ended
}

func wait(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the CPU doesn't stop")
		return nil
	}
}

// counter writes to port 0x10 for ever.
var counter = []byte{
	0xe6, 0x10, // out 0x10, al
	0xeb, 0xfc, // jmp back
}

func TestPauseResumeStop(t *testing.T) {
	pio := new(bus)
	g := kvmtest.New(t, counter)
	c, ended := start(g, pio, new(bus))
	for range 20 {
		c.Pause()
		n := pio.count()
		time.Sleep(time.Millisecond) // a guest that still runs would show
		if pio.count() != n {
			t.Fatal("the guest runs while it is paused")
		}
		if rip := g.Regs().RIP; rip != kvmtest.CodeGPA && rip != kvmtest.CodeGPA+2 {
			t.Fatalf("paused at RIP %#x, in the middle of an instruction", rip)
		}
		c.Resume()
		for pio.count() == n {
			time.Sleep(100 * time.Microsecond)
		}
	}
	c.Stop()
	if err := wait(t, ended); err != nil {
		t.Errorf("Run = %v, want nil after Stop", err)
	}
}

func TestStopWhileSpinning(t *testing.T) {
	g := kvmtest.New(t, []byte{0xeb, 0xfe}) // jmp to itself: no exits
	c, ended := start(g, new(bus), new(bus))
	time.Sleep(10 * time.Millisecond)
	c.Stop()
	if err := wait(t, ended); err != nil {
		t.Errorf("Run = %v", err)
	}
	c.Pause() // returns at once: there is nothing to wait for
}

func TestStopWhilePaused(t *testing.T) {
	g := kvmtest.New(t, []byte{0xeb, 0xfe})
	c, ended := start(g, new(bus), new(bus))
	c.Pause()
	c.Stop()
	if err := wait(t, ended); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestStopBeforeRun(t *testing.T) {
	g := kvmtest.New(t, []byte{0xeb, 0xfe})
	c := New(g.VCPU, new(bus), new(bus), nil, nil)
	c.Stop()
	if err := c.Run(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestStopFromDevice has a device end the machine from within an exit: the
// guest executes nothing after the access.
func TestStopFromDevice(t *testing.T) {
	pio := new(bus)
	g := kvmtest.New(t, counter)
	c := New(g.VCPU, pio, new(bus), nil, nil)
	pio.write = c.Stop
	if err := c.Run(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if pio.count() != 1 {
		t.Errorf("the guest went on for %d writes", pio.count())
	}
}

func TestDispatch(t *testing.T) {
	pio, mmio := new(bus), new(bus)
	g := kvmtest.New(t, []byte{
		0xe4, 0x60, // in al, 0x60
		0xe6, 0x61, // out 0x61, al
		0xb8, 0x00, 0x80, // mov ax, 0x8000
		0x8e, 0xd8, // mov ds, ax
		0xa1, 0x00, 0x00, // mov ax, [0]      ; MMIO
		0xa3, 0x04, 0x00, // mov [4], ax      ; MMIO
		0xe6, 0x62, // out 0x62, al
		0xeb, 0xfe, // jmp to itself
	})
	c, ended := start(g, pio, mmio)
	for start := time.Now(); pio.count() < 2 && time.Since(start) < 10*time.Second; {
		time.Sleep(time.Millisecond)
	}
	c.Stop()
	if err := wait(t, ended); err != nil {
		t.Errorf("Run = %v", err)
	}
	if !bytes.Equal(pio.wrote, []byte{0x5a, 0x5a}) || !bytes.Equal(mmio.wrote, []byte{0x5a, 0x5a}) {
		t.Errorf("ports got % x, MMIO got % x", pio.wrote, mmio.wrote)
	}
}

func TestEnds(t *testing.T) {
	t.Run("triple fault", func(t *testing.T) {
		g := kvmtest.New(t, []byte{0x0f, 0x0b}) // ud2
		g.LongMode()
		err := New(g.VCPU, new(bus), new(bus), nil, nil).Run()
		if e := (*TripleFaultError)(nil); !errors.As(err, &e) {
			t.Errorf("Run = %v, want a triple fault", err)
		}
	})
	t.Run("emulation failure", func(t *testing.T) {
		insn := []byte{0xf3, 0x0f, 0xb8, 0x06, 0, 0} // popcnt ax, [0]
		g := kvmtest.New(t, append([]byte{0xb8, 0, 0x80, 0x8e, 0xd8}, insn...))
		kvmtest.Must(t, g.VM.EnableCap(kvm.CapExitOnEmulationFailure, 1))
		err := New(g.VCPU, new(bus), new(bus), nil, nil).Run()
		e := (*EmulationError)(nil)
		if !errors.As(err, &e) || !bytes.HasPrefix(e.Insn, insn) || e.Regs.RIP != kvmtest.CodeGPA+5 {
			t.Errorf("Run = %v, want an emulation failure with the instruction and its address", err)
		}
	})
	t.Run("host error", func(t *testing.T) {
		g := kvmtest.New(t, []byte{0xf4}) // hlt, which nobody handles without an irqchip
		err := New(g.VCPU, new(bus), new(bus), nil, nil).Run()
		if e := (*HostError)(nil); !errors.As(err, &e) {
			t.Errorf("Run = %v, want a host error", err)
		}
	})
}

// completer knows one instruction, of n bytes.
type completer struct{ n uint64 }

func (c completer) Complete(v *kvm.VCPU, _ []byte) (bool, error) {
	var r kvm.Regs
	if err := v.Regs(&r); err != nil {
		return false, err
	}
	r.RIP += c.n
	return true, v.SetRegs(&r)
}

func TestCompletedInstructionGoesOn(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x80, 0x8e, 0xd8, // ds = 0x8000
		0xf3, 0x0f, 0xb8, 0x06, 0, 0, // popcnt ax, [0]
		0xe6, 0x10, // out 0x10, al
	})
	kvmtest.Must(t, g.VM.EnableCap(kvm.CapExitOnEmulationFailure, 1))
	pio := new(bus)
	c := New(g.VCPU, pio, new(bus), completer{6}, nil)
	pio.write = c.Stop
	if err := c.Run(); err != nil || pio.count() != 1 {
		t.Errorf("Run = %v after %d writes", err, pio.count())
	}
}

// TestExitCostsNoAllocation runs real exits and looks at the heap.
func TestExitCostsNoAllocation(t *testing.T) {
	const exits = 2000
	pio := &silent{left: exits}
	g := kvmtest.New(t, counter)
	c := New(g.VCPU, pio, pio, nil, nil)
	pio.stop = c.Stop
	allocations := testing.AllocsPerRun(1, func() {
		pio.left = exits
		c.want = run
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > exits/100 {
		t.Errorf("%v allocations for %d exits", allocations, exits)
	}
}

// silent is a device that stops the machine after so many writes.
type silent struct {
	left int
	stop func()
}

func (s *silent) Read(uint64, []byte) {}

func (s *silent) Write(uint64, []byte) {
	if s.left--; s.left == 0 {
		s.stop()
	}
}

// BenchmarkPIOExit is a round trip: guest, host kernel, this process and back.
func BenchmarkPIOExit(b *testing.B) {
	pio := new(silent)
	g := kvmtest.New(b, counter)
	c := New(g.VCPU, pio, pio, nil, nil)
	pio.stop = c.Stop
	pio.left = b.N + 1
	b.ReportAllocs()
	b.ResetTimer()
	if err := c.Run(); err != nil {
		b.Fatal(err)
	}
}
