package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

const (
	// batches are timed apart; their median is what counts.
	batches = 21
	// turns are how often each contestant has its go.
	turns = 7
)

// measureExits times port exits of the same guest: through our vCPU's loop and
// dispatch, and through a loop in C that does nothing about them. The
// difference is the time an exit loses in our user space.
func (b *bench) measureExits() error {
	ours, floor, lost := series{Name: "bulkhead-vmm"}, series{Name: "bare ioctls in C"}, series{Name: "difference"}
	allocations := series{Name: "bulkhead-vmm"}
	for range turns {
		o, a, err := b.timeExits()
		if err != nil {
			return err
		}
		f, err := b.floorExits()
		if err != nil {
			return err
		}
		ours.Samples = append(ours.Samples, o)
		floor.Samples = append(floor.Samples, f)
		lost.Samples = append(lost.Samples, o-f)
		allocations.Samples = append(allocations.Samples, a)
	}
	b.report.add(result{Name: "port exit and back", Unit: "ns", Series: []series{ours, floor}})
	b.report.add(result{Name: "… of that in user space beyond the bare loop", Unit: "ns", Goal: "< 500 ns", Series: []series{lost}})
	b.report.add(result{Name: "allocations for each exit", Unit: "", Goal: "0", Series: []series{allocations}})
	return nil
}

func (b *bench) floorExits() (float64, error) {
	out, err := exec.Command(b.floor, "exits", fmt.Sprint(b.exits/turns)).Output()
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	var ns float64
	_, err = fmt.Sscan(string(out), &ns)
	return ns, err
}

// counterGuest writes to a port for ever, as the C program's guest does.
var counterGuest = []byte{0xe6, 0x10, 0xeb, 0xfc} // out 0x10, al; jmp back

// clock is the device behind the port: it notes the time once a batch.
type clock struct {
	size, left int
	start      time.Time
	took       []float64
	stop       func()
}

func (c *clock) Read(uint64, []byte) {}

func (c *clock) Write(uint64, []byte) {
	if c.left--; c.left > 0 {
		return
	}
	if !c.start.IsZero() {
		c.took = append(c.took, float64(time.Since(c.start).Nanoseconds())/float64(c.size))
	}
	if len(c.took) == batches {
		c.stop()
	}
	c.left, c.start = c.size, time.Now()
}

func (b *bench) timeExits() (ns, allocations float64, err error) {
	v, release, err := tinyVCPU(counterGuest)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	c := &clock{size: b.exits / turns / batches, left: 1, took: make([]float64, 0, batches)}
	cpu := vcpu.New(v, c, c, nil, nil)
	c.stop = cpu.Stop
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := cpu.Run(); err != nil {
		return 0, 0, err
	}
	runtime.ReadMemStats(&after)
	exits := float64(c.size * batches)
	perExit := float64(after.Mallocs-before.Mallocs) / exits
	if perExit < 0.001 { // what the runtime itself does meanwhile
		perExit = 0
	}
	slices.Sort(c.took)
	return c.took[batches/2], perExit, nil
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
