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
// turns with the floor, which maps one file: so is the memory of the first snapshot.
// That of the last one is of several.
func (b *bench) measureRestores() error {
	if err := b.saveOne(); err != nil {
		return err
	}
	whole, layered := b.saved.whole, b.saved.layered
	state, err := b.floorState(whole)
	if err != nil {
		return err
	}
	floor := func(o order) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			return b.runFloor("restore", string(o), state, filepath.Join(whole, "memory"), fmt.Sprint(memoryMiB))
		}
	}
	const ours = "bulkhead-vmm"
	var answers []float64
	c := newContest(ours, floorName, floorRAMFirst, ours)
	err = c.rounds(b.restores,
		func() (time.Duration, error) {
			first, answered, err := b.restoreOne(whole)
			answers = append(answers, ms(answered))
			return first, err
		},
		floor(chipsFirst), floor(ramFirst),
		func() (time.Duration, error) { return b.restoreFirst(layered) },
	)
	if err != nil {
		return err
	}
	b.report.add(result{Name: "restore: worker start → first KVM_RUN", Unit: "ms", Goal: "≤ 1.3 × bare ioctls", Series: c[:3]})
	b.report.add(result{Name: "restore of several layers: → first KVM_RUN", Unit: "ms", Series: c[3:]})
	b.report.add(result{Name: "restore: worker start → agent's answer", Unit: "ms", Series: []series{{Name: ours, Samples: answers[1:]}}})
	return nil
}

// savedGuest has the paths of a guest's snapshots: of the first, which has all of its
// memory, and of the last one.
type savedGuest struct{ whole, layered string }

// saveOne boots a guest and saves it, once for all parts that go on from it.
func (b *bench) saveOne() error {
	if b.saved != nil {
		return nil
	}
	v, err := b.launch(b.agentMachine())
	if err != nil {
		return err
	}
	defer v.close()
	if _, err := waitReady(v.console, v.launched); err != nil {
		return err
	}
	saved := &savedGuest{}
	pause, written, size := series{Name: "bulkhead-vmm"}, series{Name: "bulkhead-vmm"}, series{Name: "bulkhead-vmm"}
	for i := range max(b.restores, 1) {
		dir := filepath.Join(b.work, fmt.Sprintf("snapshot%d", i))
		start := now()
		s, err := v.worker.API.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: dir})
		if err != nil {
			return err
		}
		written.Samples = append(written.Samples, ms(now()-start))
		pause.Samples = append(pause.Samples, float64(s.GetPauseNs())/1e6)
		if saved.layered = dir; i == 0 {
			saved.whole = dir
		}
		size.Samples = append(size.Samples, float64(s.GetStoredBytes())/(1<<20))
	}
	b.report.add(result{Name: "snapshot of 128 MiB: the guest's pause", Unit: "ms", Series: []series{pause}})
	b.report.add(result{Name: "snapshot of 128 MiB: until it is on disk", Unit: "ms", Series: []series{written}})
	b.report.add(result{Name: "snapshot of 128 MiB: memory stored", Unit: "MiB", Series: []series{size}})
	b.saved = saved
	return nil
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

// restoreFirst times one up to its first KVM_RUN.
func (b *bench) restoreFirst(dir string) (time.Duration, error) {
	v, err := b.restore(dir, 0)
	if err != nil {
		return 0, err
	}
	defer v.close()
	return v.firstRun()
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
