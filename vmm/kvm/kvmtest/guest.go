package kvmtest

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Where a Guest's memory and code are.
const (
	CodeGPA = 0x1000
	Memory  = 16 * PageSize // from GPA 0
	// TSSAddr and IdentityMapAddr lie outside every guest's memory.
	TSSAddr         = 0xfffbd000
	IdentityMapAddr = 0xfffbc000
)

// Guest is a machine with one vCPU and 64 KiB of RAM from GPA 0, about to run
// its code at CodeGPA in 16-bit real mode with every segment at 0.
type Guest struct {
	System *kvm.System
	VM     *kvm.VM
	VCPU   *kvm.VCPU
	RAM    []byte

	t testing.TB
}

// Option changes a Guest before its vCPU exists.
type Option func(*Guest)

// WithIRQChip gives the guest the in-kernel interrupt controllers.
func WithIRQChip(g *Guest) { Must(g.t, g.VM.CreateIRQChip()) }

// WithPIT gives the guest the in-kernel interrupt controllers and timer.
func WithPIT(g *Guest) {
	WithIRQChip(g)
	Must(g.t, g.VM.CreatePIT())
}

// New makes a guest of the code. The test's goroutine is bound to its thread,
// as Run demands, until the test ends.
func New(t testing.TB, code []byte, options ...Option) *Guest {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)

	g := &Guest{System: Open(t), RAM: Pages(t, Memory/PageSize), t: t}
	var err error
	g.VM, err = g.System.CreateVM()
	Must(t, err)
	t.Cleanup(func() { Must(t, g.VM.Close()) })
	Must(t, g.VM.SetTSSAddr(TSSAddr))
	Must(t, g.VM.SetIdentityMapAddr(IdentityMapAddr))
	Must(t, g.VM.SetMemorySlot(kvm.MemorySlot{Bytes: g.RAM}))
	for _, option := range options {
		option(g)
	}
	copy(g.RAM[CodeGPA:], code)
	g.VCPU, err = g.VM.CreateVCPU(0)
	Must(t, err)
	t.Cleanup(func() { Must(t, g.VCPU.Close()) })
	g.realMode()
	return g
}

func (g *Guest) realMode() {
	var s kvm.Sregs
	Must(g.t, g.VCPU.Sregs(&s))
	for _, seg := range []*kvm.Segment{&s.CS, &s.DS, &s.ES, &s.FS, &s.GS, &s.SS} {
		seg.Base, seg.Selector = 0, 0
	}
	Must(g.t, g.VCPU.SetSregs(&s))
	g.SetRegs(func(r *kvm.Regs) { *r = kvm.Regs{RIP: CodeGPA, RSP: CodeGPA, RFLAGS: 2} })
}

// Regs reads the vCPU's registers.
func (g *Guest) Regs() kvm.Regs {
	g.t.Helper()
	var r kvm.Regs
	Must(g.t, g.VCPU.Regs(&r))
	return r
}

// SetRegs changes the vCPU's registers.
func (g *Guest) SetRegs(change func(*kvm.Regs)) {
	g.t.Helper()
	r := g.Regs()
	change(&r)
	Must(g.t, g.VCPU.SetRegs(&r))
}

// RunTo enters the guest, which must leave for the given reason.
func (g *Guest) RunTo(want kvm.ExitReason) {
	g.t.Helper()
	Must(g.t, g.VCPU.Run())
	if got := g.VCPU.ExitReason(); got != want {
		g.t.Fatalf("guest left with %v at RIP %#x, want %v", got, g.Regs().RIP, want)
	}
}

// EventFD returns a non-blocking eventfd.
func EventFD(t testing.TB) int {
	t.Helper()
	n, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	Must(t, err)
	t.Cleanup(func() { Must(t, unix.Close(n)) })
	return n
}
