package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// ends is how many of the first machines are held against as many of the last.
const ends = 20

// idleCode is a guest that never does anything.
var idleCode = []byte{0xfa, 0xf4, 0xeb, 0xfd} // cli; hlt; jmp to the hlt

// idleMiB is its machine's memory.
const idleMiB = 32

// measureCrowd has many machines go on from one snapshot and stay, and holds
// the last of them against the first. Their guests do nothing, so that what is
// measured is the host's work. Bare ioctls beside both tell what of it is the kernel's.
func (b *bench) measureCrowd() (err error) {
	dir, err := b.saveIdle()
	if err != nil {
		return err
	}
	state, err := b.floorState(dir)
	if err != nil {
		return err
	}
	var all []*vm
	defer func() {
		for _, v := range all {
			err = errors.Join(err, v.close())
		}
	}()
	first, last := newContest("the first ones", floorName), newContest("the last ones", floorName)
	count := max(b.crowd, 2*ends)
	for i := range count {
		took, v, err := b.restoreToStay(dir, i)
		if err != nil {
			return fmt.Errorf("machine %d: %w", i, err)
		}
		all = append(all, v)
		if i >= ends && i < count-ends {
			continue
		}
		bare, err := b.runFloor("restore", string(chipsFirst), state, filepath.Join(dir, "memory"), fmt.Sprint(idleMiB))
		if err != nil {
			return err
		}
		c := first
		if i >= ends {
			c = last
		}
		c[0].Samples, c[1].Samples = append(c[0].Samples, ms(took)), append(c[1].Samples, ms(bare))
	}
	name := fmt.Sprintf("restore of %d tiny machines: start → first KVM_RUN", count)
	b.report.add(result{Name: name, Unit: "ms", Goal: "the last as fast as the first", Series: []series{last[0], first[0]}})
	b.report.add(result{Name: name + ", first beside bare ioctls", Unit: "ms", Series: first})
	b.report.add(result{Name: name + ", last beside bare ioctls", Unit: "ms", Series: last})
	return nil
}

// restoreToStay restores the i-th machine, and returns how long it took to its first
// KVM_RUN.
func (b *bench) restoreToStay(dir string, i int) (time.Duration, *vm, error) {
	v, err := b.restore(dir, i)
	if err != nil {
		return 0, nil, err
	}
	time.Sleep(20 * time.Millisecond) // asking takes a processor, too
	took, err := v.firstRun()
	if err != nil {
		return 0, nil, errors.Join(err, v.close())
	}
	return took, v, nil
}

// saveIdle returns the snapshot of such a guest.
func (b *bench) saveIdle() (dir string, err error) {
	kernel := filepath.Join(b.work, "idle")
	if err := os.WriteFile(kernel, boottest.ELF{Code: idleCode}.Marshal(), 0o600); err != nil {
		return "", err
	}
	m := b.agentMachine()
	m.Kernel, m.Initrd, m.MemoryBytes = kernel, "", idleMiB<<20
	v, err := b.launch(m)
	if err != nil {
		return "", err
	}
	defer v.close()
	if _, err := v.firstRun(); err != nil {
		return "", err
	}
	dir = filepath.Join(b.work, "idle.snapshot")
	_, err = v.worker.API.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: dir})
	return dir, err
}
