// Package timeline records when the stages of a start were over.
package timeline

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Step is a stage and when it was over, in CLOCK_MONOTONIC time, which is the
// same for every process of the host.
type Step struct {
	Name string
	At   time.Duration
}

// Timeline is a list of steps. Its methods may be called from any goroutine,
// and on nil, which records nothing.
type Timeline struct {
	mu    sync.Mutex
	steps []Step
}

// Mark records that a stage is over now.
func (t *Timeline) Mark(name string) { t.MarkAt(name, Now()) }

// MarkAt records that a stage was over at the given time.
func (t *Timeline) MarkAt(name string, at time.Duration) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, Step{name, at})
}

// Steps returns what was recorded so far.
func (t *Timeline) Steps() []Step {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Step(nil), t.steps...)
}

// Now reads CLOCK_MONOTONIC.
func Now() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // can't fail
	return time.Duration(ts.Nano())
}
