package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

// dirtyName is the sandbox's that is saved again and again.
const dirtyName = "dirty"

// guestOwn is memory of that sandbox's beyond what its program writes to, in MiB.
// Guests of less than 512 have no huge pages: on hosts that emulate their kernels,
// that program would take minutes to get its memory.
const guestOwn = 512

// measureDirty takes snapshots of one sandbox, in which a program has written so
// many MiB since the one before.
func (b *bench) measureDirty() (err error) {
	d, err := b.sharedNode()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.ctx, partLimit)
	defer cancel()
	most := b.dirty[len(b.dirty)-1]
	if err := d.checkDisk((len(b.dirty)*b.dirtyRounds + 1) * (memoryMiB + most)); err != nil {
		return err
	}
	w, err := b.startWriter(ctx, d, max(most, 1))
	if err != nil {
		return fmt.Errorf("a sandbox that writes: %w", err)
	}
	t := dirtyTimes{byMiB: map[int]*saved{}}
	err = t.measure(ctx, d, w, b.dirty, b.dirtyRounds)
	err = errors.Join(err, d.delete(ctx, dirtyName), t.forget(ctx, d))
	if err != nil {
		return fmt.Errorf("snapshots of a sandbox that writes: %w (-dirty says how much)", err)
	}
	t.report(&b.report, b.dirty, guestOwn+most)
	return nil
}

// checkDisk fails if there isn't room for snapshots of so many MiB.
func (d *daemon) checkDisk(need int) error {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		return fmt.Errorf("room for snapshots in %s: %w", d.dir, err)
	}
	if free := s.Bavail * uint64(s.Bsize) / mib; free < uint64(need) {
		return fmt.Errorf("snapshots may take %d MiB and %s has %d: set TMPDIR to a larger disk, or give -dirty smaller numbers", need, d.dir, free)
	}
	return nil
}

// dirtyTimes are of snapshots, by what was written before.
type dirtyTimes struct {
	byMiB map[int]*saved
	names []string
}

// saved are those of snapshots that ought to be alike.
type saved struct{ pause, whole, stored []float64 }

// measure goes through the sizes so many times. What comes before the first
// snapshot, which nobody counts, is no part of any.
func (t *dirtyTimes) measure(ctx context.Context, d *daemon, w *writer, sizes []int, rounds int) error {
	if _, _, err := t.save(ctx, d); err != nil {
		return err
	}
	for range rounds {
		for _, size := range sizes {
			if err := w.write(size); err != nil {
				return err
			}
			s, took, err := t.save(ctx, d)
			if err != nil {
				return err
			}
			if t.byMiB[size] == nil {
				t.byMiB[size] = new(saved)
			}
			of := t.byMiB[size]
			of.whole = append(of.whole, ms(took))
			of.pause = append(of.pause, ms(s.GetPause().AsDuration()))
			of.stored = append(of.stored, float64(s.GetStoredBytes())/mib)
		}
	}
	return nil
}

// save takes a snapshot of what has come to rest. On a busy host a guest may not do
// so in time, and is asked again: such tries don't count.
func (t *dirtyTimes) save(ctx context.Context, d *daemon) (s *bulkheadv1.Snapshot, took time.Duration, err error) {
	name := fmt.Sprintf("%s%d", dirtyName, len(t.names))
	for range saveTries {
		time.Sleep(saveGap)
		began := now()
		s, err = d.Snapshot(ctx, &bulkheadv1.CreateSnapshotRequest{Sandbox: dirtyName, Name: name})
		if err == nil {
			t.names = append(t.names, name)
			return s, now() - began, nil
		}
		fmt.Fprintln(os.Stderr, "bench: snapshot:", err)
	}
	return nil, 0, err
}

const (
	saveTries = 4
	// saveGap is how long a guest runs before each.
	saveGap = time.Second
)

// forget deletes the snapshots.
func (t *dirtyTimes) forget(ctx context.Context, d *daemon) (err error) {
	for _, name := range t.names {
		_, e := d.Snapshots.DeleteSnapshot(ctx, &bulkheadv1.DeleteSnapshotRequest{Name: name})
		err = errors.Join(err, e)
	}
	return err
}

func (t *dirtyTimes) report(r *report, sizes []int, memory int) {
	pause, whole, stored := chart.Line{Name: "the guest's pause"}, chart.Line{Name: "until it is on disk"}, chart.Line{Name: "memory stored"}
	for _, size := range sizes {
		s := t.byMiB[size]
		name := fmt.Sprintf("snapshot after %d MiB were written: ", size)
		for _, q := range []struct {
			what, unit string
			samples    []float64
			line       *chart.Line
		}{{"pause", "ms", s.pause, &pause}, {"all", "ms", s.whole, &whole}, {"stored", "MiB", s.stored, &stored}} {
			r.add(result{Name: name + q.what, Unit: q.unit, Series: []series{{Name: "bulkheadd", Samples: q.samples}}})
			q.line.Points = append(q.line.Points, point(size, q.samples, 1))
		}
	}
	title := fmt.Sprintf("Snapshots of one sandbox of %d MiB", memory)
	const x = "MiB written since the one before"
	r.draw("snapshot-pause", chart.Chart{Title: title, X: x, Y: "ms", Lines: []chart.Line{pause, whole}})
	r.draw("snapshot-stored", chart.Chart{Title: title, X: x, Y: "MiB", Lines: []chart.Line{stored}})
}
