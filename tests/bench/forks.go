package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

// forkMost is how many copies a call of the API makes.
const forkMost = 64

// manyCopies take so long that they are made once.
const manyCopies = 50

// settle is how long sandboxes have to come to rest before their memory is measured.
const settle = 3 * time.Second

// measureForks times forks of a running sandbox into several copies, and looks at
// what these take.
func (b *bench) measureForks() error {
	d, err := b.golden()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.ctx, partLimit)
	defer cancel()
	all, each := chart.Line{Name: "all copies"}, chart.Line{Name: "for each copy"}
	var largest uint64 // that a copy has had so far
	for _, n := range b.forks {
		took := series{Name: "bulkheadd"}
		var last forked
		rounds := b.forkRounds
		if n >= manyCopies {
			rounds = 1
		}
		for range rounds {
			f, err := d.forkOnce(ctx, n, largest)
			if err != nil {
				return fmt.Errorf("fork of %d: %w", n, err)
			}
			took.Samples = append(took.Samples, f.took.Seconds())
			largest = max(largest, f.memory.sum()/uint64(f.ran))
			last = f
		}
		b.report.addForks(last, took)
		all.Points = append(all.Points, point(last.ran, took.Samples, 1))
		each.Points = append(each.Points, point(last.ran, took.Samples, 1/float64(last.ran)))
	}
	b.report.draw("fork-time", chart.Chart{
		Title: "Fork of a running sandbox of 128 MiB", X: "copies", Y: "seconds until they run", Log: true, Lines: []chart.Line{all, each},
	})
	return nil
}

// forked is what a fork came to.
type forked struct {
	asked, ran int
	short      error // why no more ran
	took       time.Duration
	memory     footprint // of all copies
	taken      float64   // what the host has less of, in bytes; others' doing is in it
}

// forkOnce makes n copies, or as many as there is room for, measures and deletes
// them. largest is what a copy takes, as far as anybody knows.
func (d *daemon) forkOnce(ctx context.Context, n int, largest uint64) (f forked, err error) {
	before, err := memAvailable()
	if err != nil {
		return f, err
	}
	if largest == 0 {
		largest = (memoryMiB + 16) * mib // all of its memory, and a worker
	}
	f.asked = n
	fits := room(before, largest)
	if fits < n {
		f.short = fmt.Errorf("the host has memory for %d, with %d MiB to spare", fits, uint64(spareMemory/mib))
	}
	began := now()
	names, err := d.fork(ctx, min(n, fits))
	f.took, f.ran = now()-began, len(names)
	if err != nil {
		f.short = err
	}
	if f.ran == 0 && ctx.Err() != nil {
		return f, fmt.Errorf("no copy ran before that was called off: %w", f.short)
	}
	if f.ran == 0 {
		return f, fmt.Errorf("no copy ran: %w (give -forks smaller numbers, or free memory)", f.short)
	}
	time.Sleep(settle)
	f.memory, err = d.footprint(ctx, names)
	after, e := memAvailable()
	f.taken = float64(before) - float64(after)
	return f, errors.Join(err, e, d.deleteAll(ctx, names))
}

// fork makes copies of the golden sandbox, in as few calls as it takes. Where a call
// fails it returns those that run, and why there are no more.
func (d *daemon) fork(ctx context.Context, n int) (names []string, err error) {
	for len(names) < n {
		made, err := d.Fork(ctx, &bulkheadv1.ForkSandboxRequest{Name: goldenName, Count: uint32(min(n-len(names), forkMost))})
		if err != nil {
			return names, err
		}
		for _, s := range made {
			names = append(names, s.GetName())
		}
	}
	return names, nil
}

// addForks adds what forks into as many copies came to.
func (r *report) addForks(f forked, took series) {
	name := fmt.Sprintf("fork of %d: ", f.asked)
	note := ""
	if f.ran < f.asked {
		note = fmt.Sprintf("%d of %d ran: %v", f.ran, f.asked, f.short)
	}
	each := series{Name: took.Name}
	for _, s := range took.Samples {
		each.Samples = append(each.Samples, 1000*s/float64(f.ran))
	}
	r.add(result{Name: name + "until all run", Unit: "s", Note: note, Series: []series{took}})
	r.add(result{Name: name + "time for each", Unit: "ms", Series: []series{each}})
	for _, m := range []struct {
		what  string
		bytes float64
	}{
		{"guest's memory, each (PSS)", float64(f.memory.guests)}, {"worker's memory, each (PSS)", float64(f.memory.workers)},
		{"the host's memory available, less for each", f.taken},
	} {
		s := series{Name: took.Name, Samples: []float64{m.bytes / mib / float64(f.ran)}}
		r.add(result{Name: name + m.what, Unit: "MiB", Series: []series{s}})
	}
}
