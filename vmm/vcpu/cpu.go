// Package vcpu runs virtual processors: what CPUID answers, the state a
// processor starts in, the loop around KVM_RUN, and pausing and stopping it; and
// what a processor and KVM's chips are, to be saved and restored elsewhere.
package vcpu

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"
)

// Bus is where a vCPU's port or MMIO accesses go.
type Bus interface {
	Read(address uint64, data []byte)
	Write(address uint64, data []byte)
}

// Completer finishes an instruction that KVM's emulator gave up on. It
// reports false if it doesn't know the instruction either.
type Completer interface {
	Complete(v *kvm.VCPU, insn []byte) (bool, error)
}

// CPU is one vCPU and the goroutine that runs it.
//
// A request to pause or stop sets want, then immediate_exit, then signals the
// vCPU's thread: whether the thread is inside KVM_RUN or about to enter it, it
// comes back with ErrInterrupted, clears immediate_exit and looks at want. The
// path of an ordinary exit looks at neither: the access that a device has just
// served is completed by the next KVM_RUN only, interrupted or not (KVM API,
// section 5, KVM_EXIT_MMIO), so that to rest before would lose it.
type CPU struct {
	vcpu      *kvm.VCPU
	pio, mmio Bus
	completer Completer // nil: every emulation failure is fatal

	timeline *timeline.Timeline // of the first processor; nil for others

	mu     sync.Mutex // the rest; no other lock is taken under it
	change sync.Cond  // of parked, done or want
	want   request
	parked bool
	done   bool
	thread int // 0 when not running
}

// request is what the goroutine of a CPU is asked to do.
type request int

const (
	run request = iota
	pause
	stop
)

// New returns a CPU that is yet to Run. A nil completer completes nothing. The
// timeline, if any, hears of the first entry into the guest and of the first
// exit.
func New(v *kvm.VCPU, pio, mmio Bus, completer Completer, tl *timeline.Timeline) *CPU {
	c := &CPU{vcpu: v, pio: pio, mmio: mmio, completer: completer, timeline: tl}
	c.change.L = &c.mu
	return c
}

// Run runs the guest's processor on a thread of its own, named vcpu and its
// number, until Stop, when it returns nil, or until the guest or the host ends
// it: with *TripleFaultError, *EmulationError, *SystemEventError or *HostError.
func (c *CPU) Run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	nameThread(c.vcpu.ID)
	c.begin()
	defer c.end()
	if c.next() != run {
		return nil
	}
	err := c.enterFirst()
	for err == nil || err == kvm.ErrInterrupted && c.next() == run {
		err = c.enter()
	}
	if err == kvm.ErrInterrupted {
		return nil
	}
	return err
}

// enterFirst is enter with the timeline's marks.
func (c *CPU) enterFirst() error {
	c.timeline.Mark("first KVM_RUN")
	defer c.timeline.Mark("first exit")
	return c.enter()
}

// enter enters the guest once and serves its exit.
func (c *CPU) enter() error {
	if err := c.vcpu.Run(); err != nil {
		return err
	}
	return c.handle()
}

func (c *CPU) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.thread = unix.Gettid()
}

func (c *CPU) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.thread, c.done = 0, true
	c.change.Broadcast()
}

// next waits while the CPU is paused and returns run or stop.
func (c *CPU) next() request {
	c.vcpu.SetImmediateExit(false)
	want, rested := c.rest()
	if want == run && rested {
		// The guest's watchdogs mustn't take the pause for a hang. A guest without
		// kvm-clock can't be told, nor can any on some hosts.
		c.vcpu.KVMClockCtrl()
	}
	return want
}

// rest waits while the CPU is paused, and reports whether it was.
func (c *CPU) rest() (want request, rested bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.want == pause {
		c.parked, rested = true, true
		c.change.Broadcast()
		c.change.Wait()
	}
	c.parked = false
	return c.want, rested
}

// Pause takes the processor out of the guest and returns once its state is at
// rest, with every access it made completed. Its kvm.VCPU may be used until
// Resume.
func (c *CPU) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(pause)
	for c.want == pause && !c.parked && !c.done {
		c.change.Wait()
	}
}

// Resume undoes Pause.
func (c *CPU) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(run)
}

// Stop makes Run return, now or when it is called. It doesn't wait.
func (c *CPU) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(stop)
}

// ask makes a request that a Stop before it overrules. The caller holds c.mu.
func (c *CPU) ask(r request) {
	if c.want == stop || c.want == r {
		return
	}
	c.want = r
	c.change.Broadcast()
	if r != run && c.thread != 0 {
		c.kick()
	}
}

// kick ends a KVM_RUN. SIGURG is the one signal that the Go runtime takes and
// nobody minds. The caller holds c.mu, so the thread is still this CPU's.
func (c *CPU) kick() {
	c.vcpu.SetImmediateExit(true)
	unix.Tgkill(unix.Getpid(), c.thread, unix.SIGURG) // can't fail: the thread lives
}
