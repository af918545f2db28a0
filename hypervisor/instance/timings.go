package instance

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Step is a stage of a sandbox's life and when it was over, counted from the
// first.
type Step struct {
	Name  string
	After time.Duration
}

// Timings collects steps. Its methods may be called from any goroutine.
type Timings struct {
	mu    sync.Mutex
	steps []*vmmv1.Step
}

// Mark records that a stage is over now.
func (t *Timings) Mark(name string) { t.Add(&vmmv1.Step{Name: name, AtNs: t.now()}) }

// now is when a step is over that is added later.
func (t *Timings) now() uint64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // can't fail
	return uint64(ts.Nano())
}

// Add adds steps that were recorded elsewhere on this host.
func (t *Timings) Add(steps ...*vmmv1.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, steps...)
}

// Steps returns all steps in the order of time.
func (t *Timings) Steps() []Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.steps, func(a, b *vmmv1.Step) int { return int(int64(a.AtNs) - int64(b.AtNs)) })
	var steps []Step
	for _, s := range t.steps {
		steps = append(steps, Step{s.GetName(), time.Duration(s.GetAtNs() - t.steps[0].GetAtNs())})
	}
	return steps
}
