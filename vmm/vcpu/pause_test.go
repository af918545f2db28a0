package vcpu

import (
	"runtime"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// pauser is a device that has the CPU paused in the middle of its read number
// at. Read n, from 1 on, is of bytes 0x40+n.
type pauser struct {
	cpu   *CPU
	at    int
	reads int
	rests chan struct{} // closed when Pause has returned
}

func (p *pauser) Read(_ uint64, data []byte) {
	p.reads++
	for i := range data {
		data[i] = byte(0x40 + p.reads)
	}
	if p.reads != p.at {
		return
	}
	go func() {
		p.cpu.Pause()
		close(p.rests)
	}()
	for !p.asked() {
		runtime.Gosched()
	}
}

func (p *pauser) Write(uint64, []byte) {}

func (p *pauser) asked() bool {
	p.cpu.mu.Lock()
	defer p.cpu.mu.Unlock()
	return p.cpu.want == pause
}

// TestPauseCompletesAccess asks for a pause while a device serves a read, be it
// of the first exit or a later one. Once it rests the guest has what it read, and
// has gone no further.
func TestPauseCompletesAccess(t *testing.T) {
	in := []byte{0xe4, 0x60, 0xeb, 0xfe}                                            // in al, 0x60; jmp to itself
	twice := []byte{0xe4, 0x60, 0x88, 0xc3, 0xe4, 0x60, 0xeb, 0xfe}                 // in al, 0x60; mov bl, al; in al, 0x60
	across := []byte{0xb8, 0, 0x80, 0x8e, 0xd8, 0x66, 0xa1, 0xfe, 0x0f, 0xeb, 0xfe} // mov eax, [0x80ffe]: two pages
	tests := []struct {
		name string
		code []byte
		at   int
		rax  uint64
		rip  uint64 // from the code's start
	}{
		{"first exit", in, 1, 0x41, 2},
		{"first of two", twice, 1, 0x41, 2},
		{"second of two", twice, 2, 0x42, 6},
		{"first of two fragments", across, 1, 0x42424141, 9},
		{"second of two fragments", across, 2, 0x42424141, 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := kvmtest.New(t, tt.code)
			device, ended := startPauser(t, g, tt.at)
			r := g.Regs()
			if r.RAX != tt.rax || r.RIP != kvmtest.CodeGPA+tt.rip {
				t.Errorf("RAX = %#x at %+d, want %#x at %+d: the access isn't completed",
					r.RAX, r.RIP-kvmtest.CodeGPA, tt.rax, tt.rip)
			}
			device.cpu.Stop()
			if err := wait(t, ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPauseCompletesString does so to a string instruction, which may rest
// between any two of its accesses: every byte that the device gave is in memory.
func TestPauseCompletesString(t *testing.T) {
	for at := 1; at <= 3; at++ {
		g := kvmtest.New(t, []byte{
			0xbf, 0x00, 0x20, // mov di, 0x2000
			0xb9, 3, 0, // mov cx, 3
			0xba, 0x60, 0, // mov dx, 0x60
			0xf3, 0x6c, // rep insb
			0xeb, 0xfe, // jmp to itself
		})
		device, ended := startPauser(t, g, at)
		r := g.Regs()
		if done := r.RDI - 0x2000; int(done) != device.reads || r.RCX != 3-done {
			t.Errorf("%d reads, DI = %#x, CX = %d", device.reads, r.RDI, r.RCX)
		}
		if got := string(g.RAM[0x2000:][:device.reads]); got != "ABC"[:device.reads] {
			t.Errorf("the string is %q", got)
		}
		device.cpu.Stop()
		if err := wait(t, ended); err != nil {
			t.Error(err)
		}
	}
}

// startPauser runs a guest until it rests.
func startPauser(t *testing.T, g *kvmtest.Guest, at int) (*pauser, chan error) {
	t.Helper()
	p := &pauser{at: at, rests: make(chan struct{})}
	p.cpu = New(g.VCPU, p, p, nil, nil)
	ended := make(chan error, 1)
	go func() { ended <- p.cpu.Run() }()
	select {
	case <-p.rests:
	case <-time.After(10 * time.Second):
		t.Fatal("the CPU doesn't rest")
	}
	return p, ended
}

// TestResumedGuestIsTold pauses guests that have kvm-clock: the first thing that they see
// of it after that is that they were stopped, and of other exits they hear nothing.
func TestResumedGuestIsTold(t *testing.T) {
	g := newGuest(t, counter)
	const pageGPA, enabled, flags = 0x2000, 1, 29
	_, err := g.VCPU.SetMSRs([]kvm.MSREntry{{Index: msrKVMSystemTime, Data: pageGPA | enabled}})
	kvmtest.Must(t, err)
	pio := new(bus)
	c, ended := start(g, pio, pio)
	t.Cleanup(func() {
		c.Stop()
		if err := wait(t, ended); err != nil {
			t.Error(err)
		}
	})
	for i := range 3 {
		for n := pio.count(); pio.count() < n+100; { // exits
			time.Sleep(100 * time.Microsecond)
		}
		c.Pause()
		if _, stopped := kvmClock(g.RAM[pageGPA:]); stopped != (i > 0) {
			t.Errorf("before pause %d it is told that it was stopped: %v", i+1, stopped)
		}
		g.RAM[pageGPA+flags] = 0 // as a guest does that has seen it
		c.Resume()
		for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
			if _, stopped := kvmClock(g.RAM[pageGPA:]); stopped {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("after pause %d it isn't told that it was stopped", i+1)
			}
		}
	}
}
