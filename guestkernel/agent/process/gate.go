package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// gate keeps processes from being started. A nil gate is open.
type gate struct {
	opened   chan struct{} // closed by Open
	restored bool          // set before: what waited was another machine's concern
}

// forkPause is how often Shut looks whether forks are over.
const forkPause = 2 * time.Millisecond

// Shut has starts wait, until Open, and waits for those that are under way, as long
// as ctx: when it fails, it is open. To shut what is shut is fine.
func (t *Table) Shut(ctx context.Context) error {
	t.mu.Lock()
	if t.gate == nil {
		t.gate = &gate{opened: make(chan struct{})}
	}
	t.mu.Unlock()
	// One that reads its program from a file system that doesn't answer may take
	// for ever.
	for !t.forking.TryLock() {
		select {
		case <-time.After(forkPause):
		case <-ctx.Done():
			t.Open(false)
			return fmt.Errorf("wait for a process that is just being started: %w", context.Cause(ctx))
		}
	}
	t.forking.Unlock()
	return nil
}

// Open has starts go on that Shut made wait. Those that the machine was saved with
// fail if it was restored: whoever asked for them is another's host.
func (t *Table) Open(restored bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gate != nil {
		t.gate.restored = restored
		close(t.gate.opened)
		t.gate = nil
	}
}

// pass waits until the gate is open.
func (t *Table) pass(ctx context.Context) error {
	t.mu.Lock()
	g := t.gate
	t.mu.Unlock()
	if g == nil {
		return nil
	}
	select {
	case <-g.opened:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if g.restored {
		return fail.Errorf(fail.Cut, "the guest was restored from a snapshot while the process waited to be started")
	}
	return t.pass(ctx)
}

// enter passes the gate and holds t.forking for reading.
func (t *Table) enter(ctx context.Context) error {
	for {
		if err := t.pass(ctx); err != nil {
			return err
		}
		t.forking.RLock()
		t.mu.Lock()
		open := t.gate == nil
		t.mu.Unlock()
		if open {
			return nil
		}
		t.forking.RUnlock()
	}
}

// Flush waits until what all processes have written is on its way to the host, as
// long as ctx.
func (t *Table) Flush(ctx context.Context) error {
	t.mu.Lock()
	var all []*process
	for _, p := range t.byID {
		if p.pid != 0 {
			all = append(all, p)
		}
	}
	t.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, p := range all { // at once: one may have a slow host
		wg.Go(func() {
			if err := p.io.Flush(ctx); err != nil {
				errs[i] = fmt.Errorf("deliver the output of process %q: %w", p.id, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
