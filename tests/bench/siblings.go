package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

const (
	// restTime is how long guests have until the last of what they did is over.
	restTime = 15 * time.Second
	// idleTime is how long sandboxes are watched that have nothing to do. What wakes them
	// comes once a minute, or less often.
	idleTime = 2 * time.Minute
)

// measureSiblings has sandboxes idle that went on from one snapshot, more and more of
// them, looks at what they take, and says how many of them a host like this has room
// for.
func (b *bench) measureSiblings() (err error) {
	d, err := b.golden()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.ctx, partLimit)
	defer cancel()
	s := &family{daemon: d}
	defer func() { err = errors.Join(err, d.deleteAll(context.WithoutCancel(ctx), s.names)) }()
	if s.available, err = memAvailable(); err != nil {
		return err
	}
	for len(s.names) < b.siblings && err == nil {
		err = s.grow(ctx, b.siblings)
	}
	if err == nil {
		err = s.watchCPU(ctx)
	}
	if err != nil {
		return fmt.Errorf("%d idle sandboxes: %w (-siblings is how many there are to be)", len(s.names), err)
	}
	s.report(&b.report)
	return nil
}

// family are sandboxes that idle.
type family struct {
	*daemon
	names     []string
	available uint64 // to the host before them
	answered  series // how long each took to answer, beside those before it
	steps     []step
	cpu       series
}

// step is what so many of them had.
type step struct {
	count  int
	memory footprint
	taken  float64 // what the host had less of, in bytes
}

// grow adds one, and measures at each number that is worth it.
func (s *family) grow(ctx context.Context, most int) error {
	name := fmt.Sprintf("sibling%d", len(s.names))
	began := now()
	if _, err := s.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: fromGolden()}); err != nil {
		return err
	}
	s.names = append(s.names, name)
	if _, err := s.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name}); err != nil {
		return err
	}
	if _, err := s.exec(ctx, name); err != nil {
		return err
	}
	s.answered.Samples = append(s.answered.Samples, ms(now()-began))
	if n := len(s.names); n < most && !slices.Contains([]int{1, 2, 5}, n) && n%10 != 0 {
		return nil
	}
	time.Sleep(settle)
	memory, err := s.footprint(ctx, s.names)
	if err != nil {
		return err
	}
	left, err := memAvailable()
	if err == nil && left < spareMemory {
		err = fmt.Errorf("the host has %d MiB left", left/mib)
	}
	s.steps = append(s.steps, step{len(s.names), memory, float64(s.available) - float64(left)})
	return err
}

// watchCPU looks at what each uses while nothing happens: from outside, as the node asks
// the guest for its stats, which takes more of it than a minute of rest.
func (s *family) watchCPU(ctx context.Context) error {
	var pids []int
	for _, name := range s.names {
		pid, err := s.workerPID(ctx, name)
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	time.Sleep(restTime)
	before, began := make([]usage, len(pids)), make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = usageOf(pid); err != nil {
			return err
		}
		began[i] = now()
	}
	time.Sleep(idleTime)
	for i, pid := range pids {
		after, err := usageOf(pid)
		if err != nil {
			return err
		}
		s.cpu.Samples = append(s.cpu.Samples, 100*float64(after.since(before[i]).process)/float64(now()-began[i]))
	}
	return nil
}

func (s *family) workerPID(ctx context.Context, sandbox string) (int, error) {
	w, err := s.worker(ctx, sandbox)
	if err != nil {
		return 0, err
	}
	return w.Identity().PID, w.Detach()
}

// slope returns by how many bytes a quantity grows with each of them.
func (s *family) slope(of func(step) float64) float64 {
	x, y := []float64{0}, []float64{0}
	for _, at := range s.steps {
		x, y = append(x, float64(at.count)), append(y, of(at))
	}
	return slope(x, y)
}

func (s *family) report(r *report) {
	last := s.steps[len(s.steps)-1]
	one := func(v float64) []series { return []series{{Name: "bulkheadd", Samples: []float64{v}}} }
	s.answered.Name, s.cpu.Name = "bulkheadd", "bulkheadd"
	r.add(result{Name: fmt.Sprintf("restore beside up to %d idle: → exec's answer", last.count-1), Unit: "ms", Series: []series{s.answered}})
	r.add(result{Name: "idle, restored: guest's memory, each (PSS)", Unit: "MiB", Series: one(float64(last.memory.guests) / mib / float64(last.count))})
	r.add(result{Name: "idle, restored: worker's memory, each (PSS)", Unit: "MiB", Series: one(float64(last.memory.workers) / mib / float64(last.count))})
	r.add(result{Name: "idle, restored: CPU over two minutes, each", Unit: "% of a core", Series: []series{s.cpu}})
	pss := s.slope(func(at step) float64 { return float64(at.memory.sum()) })
	taken := s.slope(func(at step) float64 { return at.taken })
	measured := fmt.Sprintf("extrapolated from %d", last.count)
	r.add(result{Name: "each more of them: PSS", Unit: "MiB", Series: one(pss / mib)})
	r.add(result{Name: "each more of them: memory available less", Unit: "MiB", Series: one(taken / mib)})
	r.add(result{Name: "idle ones that fit by PSS", Series: one(fits(float64(s.available), pss)), Note: measured})
	r.add(result{Name: "idle ones that fit by memory available", Series: one(fits(float64(s.available), taken)), Note: measured})
	r.add(result{Name: "idle ones that fit by CPU", Series: one(fits(100*float64(runtime.NumCPU()), median(s.cpu.Samples))), Note: measured})
	r.draw("siblings-pss", s.chart())
}

// fits is how many times each goes into all, 0 if nobody can say.
func fits(all, each float64) float64 {
	if each <= 0 {
		return 0
	}
	return float64(int(all / each))
}

func (s *family) chart() chart.Chart {
	lines := []chart.Line{{Name: "guests and workers"}, {Name: "guests"}}
	for _, at := range s.steps {
		for i, bytes := range []uint64{at.memory.sum(), at.memory.guests} {
			lines[i].Points = append(lines[i].Points, point(at.count, []float64{float64(bytes)}, 1.0/mib))
		}
	}
	return chart.Chart{Title: "Memory of idle sandboxes of 128 MiB from one snapshot", X: "sandboxes", Y: "MiB (PSS)", Lines: lines}
}
