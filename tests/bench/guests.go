package main

import (
	"fmt"
	"os"
)

// measureGuests has guests of ours and of QEMU's do the same I/O, in turns, and
// reports what each request takes, and what it costs the host beside the
// guest's own vCPU.
func (b *bench) measureGuests() error {
	if err := b.makeLoad(); err != nil {
		return err
	}
	var g guestTimes
	err := inNamespace(func() error {
		for i := range b.guests {
			if err := g.pair(b, i%2 == 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g.report(&b.report)
	return nil
}

// guestTimes are the tasks of each contestant, a sample a guest.
type guestTimes struct {
	ours, theirs map[string][]task
	order        []string
}

// pair runs a guest each, QEMU's first if so wanted.
func (g *guestTimes) pair(b *bench, swapped bool) error {
	if g.ours == nil {
		g.ours, g.theirs = map[string][]task{}, map[string][]task{}
	}
	ours := func() error {
		tasks, err := b.loadOurs()
		if err != nil {
			return fmt.Errorf("bulkhead-vmm: %w", err)
		}
		for _, t := range tasks {
			if g.ours[t.name] == nil {
				g.order = append(g.order, t.name)
			}
			g.ours[t.name] = append(g.ours[t.name], t)
		}
		return nil
	}
	theirs := func() error {
		tasks, err := b.loadQEMU()
		for range qemuTries - 1 {
			if err == nil {
				break
			}
			fmt.Fprintln(os.Stderr, "bench: QEMU:", err)
			tasks, err = b.loadQEMU()
		}
		for _, t := range tasks {
			g.theirs[t.name] = append(g.theirs[t.name], t)
		}
		return err
	}
	if swapped {
		ours, theirs = theirs, ours
	}
	if err := ours(); err != nil {
		return err
	}
	return theirs()
}

// report adds three quantities for each task.
func (g *guestTimes) report(r *report) {
	each := func(name, what string, unit string, value func(task) float64) {
		res := result{Name: "guest: " + name + ": " + what, Unit: unit, Goal: "≤ QEMU"}
		for _, c := range []struct {
			name  string
			tasks []task
		}{{"bulkhead-vmm", g.ours[name]}, {"QEMU microvm", g.theirs[name]}} {
			s := series{Name: c.name}
			for _, t := range c.tasks {
				s.Samples = append(s.Samples, value(t))
			}
			res.Series = append(res.Series, s)
		}
		r.add(res)
	}
	for _, name := range g.order {
		if name == "idle" {
			each(name, "host CPU beside the vCPU", "ms/s", func(t task) float64 { return ms(t.used.outside()) / t.took.Seconds() })
			each(name, "host CPU", "ms/s", func(t task) float64 { return ms(t.used.process) / t.took.Seconds() })
			continue
		}
		perRequest := func(t task, ns int64) float64 { return float64(ns) / 1000 / float64(t.requests) }
		each(name, "time", "µs", func(t task) float64 { return perRequest(t, t.took.Nanoseconds()) })
		each(name, "host CPU beside the vCPU", "µs", func(t task) float64 { return perRequest(t, t.used.outside().Nanoseconds()) })
		each(name, "host CPU", "µs", func(t task) float64 { return perRequest(t, t.used.process.Nanoseconds()) })
	}
}
