package main

import (
	"fmt"
	"os/exec"
	"time"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measureStarts times worker start → first KVM_RUN, in turns with the floor
// and with QEMU.
func (b *bench) measureStarts() error {
	c := newContest("bulkhead-vmm", floorName, floorRAMFirst, "QEMU microvm")
	err := c.rounds(b.starts, b.startOurs, b.startFloor(chipsFirst), b.startFloor(ramFirst), b.startQEMU)
	if err != nil {
		return err
	}
	b.report.add(result{
		Name: "worker start → first KVM_RUN", Unit: "ms", Goal: "≤ 1.5 × bare ioctls, < 0.5 × QEMU", Series: c,
	})
	return nil
}

func (b *bench) startOurs() (time.Duration, error) { return b.start(b.agentMachine()) }

// start times one worker; it is gone on return.
func (b *bench) start(m *vmmv1.MachineConfig) (time.Duration, error) {
	v, err := b.launch(m)
	if err != nil {
		return 0, err
	}
	defer v.close()
	return v.firstRun()
}

// firstRunLimit is how long a worker may take to have a vCPU run.
const firstRunLimit = 10 * time.Second

// firstRun waits until a vCPU runs and returns when that was, since the machine's
// launch.
func (v *vm) firstRun() (time.Duration, error) {
	for began := now(); ; time.Sleep(time.Millisecond) {
		d, err := v.step("first KVM_RUN")
		if err == nil || now()-began > firstRunLimit {
			return d, err
		}
	}
}

// order is in which order the floor makes a machine's parts; see floor.c.
type order string

const (
	chipsFirst order = "chips-first"
	ramFirst   order = "ram-first"
)

// The floor's names as a contestant, in either order.
const floorName, floorRAMFirst = "bare ioctls in C", "RAM first"

func (b *bench) startFloor(o order) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		return b.runFloor("boot", string(o), b.kernel(), b.initrd(), fmt.Sprint(memoryMiB))
	}
}

// runFloor returns how long the floor took up to the first KVM_RUN.
func (b *bench) runFloor(args ...string) (time.Duration, error) {
	launched := now()
	out, err := exec.Command(b.floor, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	var entered int64
	if _, err := fmt.Sscan(string(out), &entered); err != nil {
		return 0, fmt.Errorf("floor: %q: %w", out, err)
	}
	return time.Duration(entered) - launched, nil
}

func (b *bench) startQEMU() (time.Duration, error) {
	q, err := b.launchQEMU(b.initrd(), qemuCmdline())
	if err != nil {
		return 0, err
	}
	defer q.close()
	return q.firstRun()
}
