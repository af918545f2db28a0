package process

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
)

const maxSignal = 64

// Wait waits for the end of a process. It answers for the last 1024 that have
// ended, too.
func (t *Table) Wait(ctx context.Context, id string) (Status, error) {
	t.mu.Lock()
	p, err := t.find(id)
	t.mu.Unlock()
	if err != nil {
		return Status{}, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return Status{}, context.Cause(ctx)
	}
	if p.pid == 0 {
		return Status{}, fail.Errorf(fail.NotFound, "process %q could not be started", id)
	}
	return p.status, nil
}

// Signal sends a signal to a process, or to its process group.
func (t *Table) Signal(id string, signal int, group bool) error {
	if signal < 1 || signal > maxSignal {
		return fail.Errorf(fail.Invalid, "signal %d: signals are 1 to %d", signal, maxSignal)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.running(id)
	if err != nil {
		return err
	}
	target := p.pid
	if group {
		target = -p.pid // it leads the group
	}
	if err := unix.Kill(target, unix.Signal(signal)); err != nil {
		return fmt.Errorf("signal %d to process %q: %w", signal, id, err)
	}
	return nil
}

// kill ends a process and its group, unless it has ended: a number that is free
// may be another's.
func (t *Table) kill(p *process) {
	t.forking.Lock() // what was just started is in byPID then
	t.mu.Lock()
	t.forking.Unlock()
	defer t.mu.Unlock()
	if t.byPID[p.pid] == p {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
}

// Resize changes the size of a process's terminal.
func (t *Table) Resize(id string, size stdio.Size) error {
	t.mu.Lock()
	p, err := t.running(id)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return p.io.Resize(size)
}

// WaitSent waits until the output of every process that has ended and is
// remembered is on its way to the host.
func (t *Table) WaitSent(ctx context.Context) error {
	t.mu.Lock()
	var ended []*process
	for _, id := range t.ended {
		ended = append(ended, t.byID[id])
	}
	t.mu.Unlock()
	for _, p := range ended {
		select {
		case <-p.io.Sent():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
