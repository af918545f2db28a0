package main

import (
	"fmt"
	"os/exec"
	"time"
)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measureStarts times worker start → first KVM_RUN, in turns with the floor
// and with QEMU.
func (b *bench) measureStarts() error {
	ours, floor, theirs := series{Name: "bulkhead-vmm"}, series{Name: "bare ioctls in C"}, series{Name: "QEMU microvm"}
	for i := range b.starts + 1 {
		o, err := b.startOurs()
		if err != nil {
			return err
		}
		f, err := b.startFloor()
		if err != nil {
			return err
		}
		q, err := b.startQEMU()
		if err != nil {
			return err
		}
		if i == 0 {
			continue // to warm the page cache
		}
		ours.Samples = append(ours.Samples, ms(o))
		floor.Samples = append(floor.Samples, ms(f))
		theirs.Samples = append(theirs.Samples, ms(q))
	}
	b.report.add(result{
		Name: "worker start → first KVM_RUN", Unit: "ms", Goal: "≤ 1.5 × bare ioctls, < 0.5 × QEMU",
		Series: []series{ours, floor, theirs},
	})
	return nil
}

func (b *bench) startOurs() (time.Duration, error) {
	v, err := b.launch(b.agentMachine())
	if err != nil {
		return 0, err
	}
	defer v.close()
	for range 100 { // it is reported as soon as the vCPU's thread got there
		if d, err := v.step("first KVM_RUN"); err == nil {
			return d, nil
		}
		time.Sleep(time.Millisecond)
	}
	return v.step("first KVM_RUN")
}

func (b *bench) startFloor() (time.Duration, error) {
	launched := now()
	out, err := exec.Command(b.floor, "boot", b.kernel(), b.initrd(), fmt.Sprint(memoryMiB)).Output()
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
