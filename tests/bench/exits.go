package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

// batch exits are timed together: short enough that the machine is the same
// for all who take turns.
const batch = 100

// measureExits times port exits of the same guest: through our vCPU's loop and
// bus, through bare ioctls in this process, and through bare ioctls in C. They
// take turns on one processor, a batch each. What our user space costs is the
// median difference to the bare ioctls of the same process; the kernel's own
// part differs between processes.
func (b *bench) measureExits() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpus, err := pin()
	if err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, cpus)
	rounds := max(b.exits/batch, 10)
	t, err := b.timeExits(rounds)
	if err != nil {
		return err
	}
	perExit, err := countAllocations(rounds / 10)
	if err != nil {
		return err
	}
	b.report.add(result{Name: "port exit and back", Unit: "ns", Series: []series{t.ours, t.bare, t.c}})
	b.report.add(result{Name: "… of that in our user space", Unit: "ns", Goal: "< 500 ns",
		Series: []series{differences(t.ours, t.bare)}})
	b.report.add(result{Name: "allocations for each exit", Unit: "", Goal: "0",
		Series: []series{{Name: "bulkhead-vmm", Samples: []float64{perExit}}}})
	return nil
}

// exitTimes are nanoseconds for each exit, a sample a batch.
type exitTimes struct{ ours, bare, c series }

// timeExits has the three take turns n times.
func (b *bench) timeExits(n int) (t exitTimes, err error) {
	t = exitTimes{series{Name: "bulkhead-vmm"}, series{Name: "bare ioctls"}, series{Name: "bare ioctls in C"}}
	bare, release, err := newBareLoop()
	if err != nil {
		return t, err
	}
	defer release()
	floor, err := b.startFloorExits()
	if err != nil {
		return t, err
	}
	var start time.Time
	var turns error
	err = serveExits(func() bool {
		if took := time.Since(start); !start.IsZero() {
			t.ours.Samples = append(t.ours.Samples, float64(took.Nanoseconds())/batch)
			turns = t.others(bare, floor)
		}
		start = time.Now()
		return turns == nil && len(t.ours.Samples) < n
	})
	return t, errors.Join(err, turns, floor.close())
}

// others has the two beside ours take their turns, in changing order: who
// comes after another process finds colder caches.
func (t *exitTimes) others(bare bareLoop, floor *floorExits) (err error) {
	var inGo, inC float64
	if len(t.ours.Samples)%2 == 0 {
		inGo, err = bare.run()
	}
	if err == nil {
		inC, err = floor.run()
	}
	if err == nil && inGo == 0 {
		inGo, err = bare.run()
	}
	t.bare.Samples, t.c.Samples = append(t.bare.Samples, inGo), append(t.c.Samples, inC)
	return err
}

// pin keeps this thread and the programs it starts on one processor, and
// returns where they could run before.
func pin() (*unix.CPUSet, error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read the affinity: %w", err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	return &before, unix.SchedSetaffinity(0, &one)
}

// counterGuest writes to a port for ever, as the C program's guest does.
var counterGuest = []byte{0xe6, 0x10, 0xeb, 0xfc} // out 0x10, al; jmp back

// counterPort is where it writes.
const counterPort = 0x10

// counter is the device behind the port: each batch, it asks whether to go on.
type counter struct {
	left int
	next func()
}

func (c *counter) Read(uint64, []byte) {}

func (c *counter) Write(uint64, []byte) {
	if c.left--; c.left <= 0 {
		c.left = batch
		c.next()
	}
}

// serveExits runs the guest through our loop and bus; each is called before
// the first batch of exits and after every one, until it returns false.
func serveExits(each func() bool) error {
	v, release, err := tinyVCPU(counterGuest)
	if err != nil {
		return err
	}
	defer release()
	c := &counter{}
	ports, err := bus.New(
		bus.Range{Start: 0, Size: 1, Name: "below", Handler: c},
		bus.Range{Start: counterPort, Size: 1, Name: "counter", Handler: c},
		bus.Range{Start: 0x20, Size: 1, Name: "above", Handler: c},
	)
	if err != nil {
		return err
	}
	cpu := vcpu.New(v, ports, ports, nil, nil)
	c.next = func() {
		if !each() {
			cpu.Stop()
		}
	}
	return cpu.Run()
}

// countAllocations returns what an exit allocates, over n batches.
func countAllocations(n int) (float64, error) {
	var before, after runtime.MemStats
	done := 0
	err := serveExits(func() bool {
		switch done++; done {
		case 1:
			runtime.ReadMemStats(&before)
		case n + 1:
			runtime.ReadMemStats(&after)
		}
		return done <= n
	})
	perExit := float64(after.Mallocs-before.Mallocs) / float64(n*batch)
	if perExit < 0.001 { // what the runtime itself does meanwhile
		perExit = 0
	}
	return perExit, err
}

// differences returns a's samples less b's, pair by pair.
func differences(a, b series) series {
	d := series{Name: "difference"}
	for i := range a.Samples {
		d.Samples = append(d.Samples, a.Samples[i]-b.Samples[i])
	}
	return d
}

// tinyVCPU makes a machine of 64 KiB about to run code in real mode.
func tinyVCPU(code []byte) (*kvm.VCPU, func(), error) {
	sys, err := kvm.Open("")
	if err != nil {
		return nil, nil, err
	}
	vm, err := sys.CreateVM()
	if err != nil {
		return nil, nil, err
	}
	ram, err := unix.Mmap(-1, 0, 1<<16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, err
	}
	const codeGPA = 0x1000
	copy(ram[codeGPA:], code)
	if err := vm.SetMemorySlot(kvm.MemorySlot{Bytes: ram}); err != nil {
		return nil, nil, err
	}
	v, err := vm.CreateVCPU(0)
	if err != nil {
		return nil, nil, err
	}
	var s kvm.Sregs
	if err := v.Sregs(&s); err != nil {
		return nil, nil, err
	}
	s.CS.Base, s.CS.Selector = 0, 0
	release := func() { errors.Join(v.Close(), vm.Close(), sys.Close(), unix.Munmap(ram)) }
	return v, release, errors.Join(v.SetSregs(&s), v.SetRegs(&kvm.Regs{RIP: codeGPA, RFLAGS: 2}))
}
