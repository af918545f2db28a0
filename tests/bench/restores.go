package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// measureRestores boots one guest, saves it, and times what goes on from that, in
// turns with the floor.
func (b *bench) measureRestores() error {
	dir, err := b.saveOne()
	if err != nil {
		return err
	}
	state, err := b.floorState(dir)
	if err != nil {
		return err
	}
	ours, floor, answer := series{Name: "bulkhead-vmm"}, series{Name: "bare ioctls in C"}, series{Name: "bulkhead-vmm"}
	for i := range b.restores + 1 {
		first, answered, err := b.restoreOne(dir)
		if err != nil {
			return err
		}
		f, err := b.runFloor("restore", state, filepath.Join(dir, "memory"), fmt.Sprint(memoryMiB))
		if err != nil {
			return err
		}
		if i == 0 {
			continue // to warm the page cache
		}
		ours.Samples = append(ours.Samples, ms(first))
		floor.Samples = append(floor.Samples, ms(f))
		answer.Samples = append(answer.Samples, ms(answered))
	}
	b.report.add(result{Name: "restore: worker start → first KVM_RUN", Unit: "ms", Goal: "≤ 1.3 × bare ioctls", Series: []series{ours, floor}})
	b.report.add(result{Name: "restore: worker start → agent's answer", Unit: "ms", Series: []series{answer}})
	return nil
}

// saveOne boots a guest and returns its snapshot.
func (b *bench) saveOne() (dir string, err error) {
	v, err := b.launch(b.agentMachine())
	if err != nil {
		return "", err
	}
	defer v.close()
	if _, err := waitReady(v.console, v.launched); err != nil {
		return "", err
	}
	pause, whole, size := series{Name: "bulkhead-vmm"}, series{Name: "bulkhead-vmm"}, series{Name: "bulkhead-vmm"}
	for i := range max(b.restores, 1) {
		dir = filepath.Join(b.work, fmt.Sprintf("snapshot%d", i))
		start := now()
		s, err := v.worker.API.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: dir})
		if err != nil {
			return "", err
		}
		whole.Samples = append(whole.Samples, ms(now()-start))
		pause.Samples = append(pause.Samples, float64(s.GetPauseNs())/1e6)
		size.Samples = append(size.Samples, float64(s.GetStoredBytes())/(1<<20))
	}
	b.report.add(result{Name: "snapshot of 128 MiB: the guest's pause", Unit: "ms", Series: []series{pause}})
	b.report.add(result{Name: "snapshot of 128 MiB: until it is on disk", Unit: "ms", Series: []series{whole}})
	b.report.add(result{Name: "snapshot of 128 MiB: memory stored", Unit: "MiB", Series: []series{size}})
	return dir, nil
}

// restoreOne times one guest that goes on from a snapshot.
func (b *bench) restoreOne(dir string) (first, answered time.Duration, err error) {
	v, err := b.restore(dir, 0)
	if err != nil {
		return 0, 0, err
	}
	defer v.close()
	if answered, err = v.answer(b.siblingSocket(0)); err != nil {
		return 0, 0, err
	}
	first, err = v.firstRun()
	return first, answered, err
}

func (b *bench) siblingSocket(i int) string { return filepath.Join(b.work, fmt.Sprintf("v%d.sock", i)) }

// restore starts the i-th guest that goes on from a snapshot.
func (b *bench) restore(dir string, i int) (*vm, error) { return b.restoreWith(dir, i, nil) }

// restoreWith starts one whose memory is as the options have it.
func (b *bench) restoreWith(dir string, i int, o *vmmv1.MemoryOptions) (*vm, error) {
	m := &vmmv1.MachineConfig{Vsock: &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: b.siblingSocket(i)}}}}
	v, err := b.launchAs(fmt.Sprintf("sibling%d", i), &vmmv1.CreateRequest{Machine: m, Snapshot: dir, Memory: o})
	if err == nil {
		go io.Copy(io.Discard, v.console)
	}
	return v, err
}

// answer waits until the guest's agent answers a call and returns when it did,
// since the worker's launch.
func (v *vm) answer(socket string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	agent, err := guest.Connect(ctx, socket)
	if err != nil {
		return 0, err
	}
	defer agent.Close()
	_, err = agent.Health(ctx, &agentv1.HealthRequest{})
	return now() - v.launched, err
}
