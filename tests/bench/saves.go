package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// measureSaves saves a machine of ours and one of QEMU's, with the same guest, and has
// new ones go on from there, in turns.
func (b *bench) measureSaves() (err error) {
	p := &savePair{bench: b}
	if p.ours, err = b.launch(b.agentMachine()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.ours.close()) }()
	if _, err := waitReady(p.ours.console, p.ours.launched); err != nil {
		return fmt.Errorf("bulkhead-vmm: %w", err)
	}
	if p.qemu, err = b.bootQEMUToSave(); err != nil {
		return fmt.Errorf("QEMU: %w", err)
	}
	defer func() { err = errors.Join(err, p.qemu.close()) }()
	time.Sleep(settle)
	for i := range b.saves + 1 {
		if i == 1 { // the first fills caches
			p.oursSaved, p.live, p.stopped = saved{}, saved{}, saved{}
			p.oursRestored, p.qemuRestored = restored{}, restored{}
		}
		if err := p.round(i); err != nil {
			return err
		}
	}
	p.report(&b.report)
	return nil
}

// savePair are two machines and what was measured of them.
type savePair struct {
	*bench
	ours                       *vm
	qemu                       *savedQEMU
	oursSaved, live, stopped   saved
	oursRestored, qemuRestored restored
}

// restored are times since a process was started: until a vCPU first ran, and until
// whoever started it knew that the guest goes on.
type restored struct{ first, known []float64 }

func (p *savePair) round(i int) error {
	dir, live := filepath.Join(p.work, "saved"), filepath.Join(p.work, "live")
	stopped := filepath.Join(p.work, "stopped") // of which a guest goes on that stands still
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	err := inTurns(i,
		func() error { return p.saveOurs(dir) },
		func() error { return p.qemu.save(&p.stopped, stopped, true) },
		func() error { return p.qemu.save(&p.live, live, false) },
	)
	if err != nil {
		return err
	}
	return inTurns(i,
		func() error { return p.restoreOurs(dir) },
		func() error { return p.restoreQEMU(&p.qemuRestored, live) },
	)
}

func (p *savePair) saveOurs(dir string) error {
	began := now()
	s, err := p.ours.worker.API.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: dir})
	if err != nil {
		return fmt.Errorf("bulkhead-vmm: %w", err)
	}
	p.oursSaved.whole = append(p.oursSaved.whole, ms(now()-began))
	p.oursSaved.pause = append(p.oursSaved.pause, float64(s.GetPauseNs())/1e6)
	p.oursSaved.stored = append(p.oursSaved.stored, float64(s.GetStoredBytes())/mib)
	return nil
}

func (p *savePair) restoreOurs(dir string) error {
	v, err := p.restore(dir, 0)
	if err != nil {
		return fmt.Errorf("bulkhead-vmm: %w", err)
	}
	known := now() - v.launched
	first, err := v.firstRun()
	if err == nil {
		p.oursRestored.known = append(p.oursRestored.known, ms(known))
		p.oursRestored.first = append(p.oursRestored.first, ms(first))
	}
	return errors.Join(err, v.close())
}

func (p *savePair) report(r *report) {
	const live, stopped, name = "QEMU, live", "QEMU, stopped", "bulkhead-vmm"
	three := func(what, unit string, of func(*saved) []float64) {
		r.add(result{Name: "save of 128 MiB: " + what, Unit: unit, Series: []series{
			{Name: name, Samples: of(&p.oursSaved)}, {Name: stopped, Samples: of(&p.stopped)}, {Name: live, Samples: of(&p.live)},
		}})
	}
	three("the guest's pause", "ms", func(s *saved) []float64 { return s.pause })
	three("until it is written", "ms", func(s *saved) []float64 { return s.whole })
	three("memory stored", "MiB", func(s *saved) []float64 { return s.stored })
	two := func(what string, of func(*restored) []float64) {
		r.add(result{Name: "restore of 128 MiB: start → " + what, Unit: "ms", Goal: "< QEMU", Series: []series{
			{Name: name, Samples: of(&p.oursRestored)}, {Name: "QEMU microvm", Samples: of(&p.qemuRestored)},
		}})
	}
	two("first KVM_RUN", func(r *restored) []float64 { return r.first })
	two("known to run", func(r *restored) []float64 { return r.known })
}
