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

// measureCrowd has many machines go on from one snapshot and stay, and holds
// the last of them against the first. Their guests do nothing, so that what is
// measured is the host's work.
func (b *bench) measureCrowd() (err error) {
	dir, err := b.saveIdle()
	if err != nil {
		return err
	}
	var all []*vm
	defer func() {
		for _, v := range all {
			err = errors.Join(err, v.close())
		}
	}()
	first, last := series{Name: "the first ones"}, series{Name: "the last ones"}
	for i := range max(b.crowd, 2*ends) {
		v, err := b.restore(dir, i)
		if err != nil {
			return fmt.Errorf("machine %d: %w", i, err)
		}
		all = append(all, v)
		time.Sleep(20 * time.Millisecond) // asking takes a processor, too
		d, err := v.firstRun()
		if err != nil {
			return fmt.Errorf("machine %d: %w", i, err)
		}
		switch {
		case i < ends:
			first.Samples = append(first.Samples, ms(d))
		case i >= max(b.crowd, 2*ends)-ends:
			last.Samples = append(last.Samples, ms(d))
		}
	}
	b.report.add(result{
		Name: fmt.Sprintf("restore of %d tiny machines: start → first KVM_RUN", len(all)), Unit: "ms", Goal: "the last as fast as the first", Series: []series{last, first},
	})
	return nil
}

// saveIdle returns the snapshot of such a guest.
func (b *bench) saveIdle() (dir string, err error) {
	kernel := filepath.Join(b.work, "idle")
	if err := os.WriteFile(kernel, boottest.ELF{Code: idleCode}.Marshal(), 0o600); err != nil {
		return "", err
	}
	m := b.agentMachine()
	m.Kernel, m.Initrd, m.MemoryBytes = kernel, "", 32<<20
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
