package process

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// Status is how a process ended.
type Status struct {
	Code   int // 0 to 255; 128 plus the signal for one ended by a signal
	Signal int // that ended it, or 0
	User   time.Duration
	System time.Duration
	MaxRSS uint64 // bytes
}

func newStatus(ws unix.WaitStatus, ru *unix.Rusage) Status {
	s := Status{
		Code:   ws.ExitStatus(),
		User:   time.Duration(ru.Utime.Nano()),
		System: time.Duration(ru.Stime.Nano()),
		MaxRSS: uint64(ru.Maxrss) << 10,
	}
	if ws.Signaled() {
		s.Signal = int(ws.Signal())
		s.Code = 128 + s.Signal
	}
	return s
}

// Adopt runs fork, which starts one child, and returns a channel that is
// closed when the child has ended.
func (t *Table) Adopt(fork func() (pid int, err error)) (<-chan struct{}, error) {
	p := &process{done: make(chan struct{})}
	return p.done, t.fork(context.Background(), p, func(int) (int, error) { return fork() })
}

func (t *Table) fork(ctx context.Context, p *process, fork func(cgroup int) (pid int, err error)) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	defer t.forking.RUnlock()
	var pid int
	err := t.into(func(cgroup int) (err error) {
		pid, err = fork(cgroup)
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	p.pid = pid
	t.byPID[pid] = p
	select {
	case <-t.empty:
		t.empty = make(chan struct{})
	default:
	}
	select {
	case t.forked <- struct{}{}:
	default:
	}
	t.mu.Unlock()
	t.reaper.Do(func() { go t.reap() })
	return nil
}

// reap collects children for ever. It blocks in the kernel, on a thread of its
// own, while there are any.
func (t *Table) reap() {
	for {
		if pid, err := nextZombie(); err == nil {
			t.collect(pid)
			continue
		}
		t.mu.Lock()
		if len(t.forked) == 0 {
			close(t.empty)
		}
		t.mu.Unlock()
		<-t.forked
	}
}

// collect reaps the zombie pid.
func (t *Table) collect(pid int) {
	t.mu.Lock()
	p := t.byPID[pid]
	if p == nil {
		// An orphan, unless it is just being started.
		t.mu.Unlock()
		t.forking.Lock()
		defer t.forking.Unlock()
		t.mu.Lock()
		p = t.byPID[pid]
	}
	// With t.mu held, so that no signal goes to a number used again.
	var ws unix.WaitStatus
	var ru unix.Rusage
	got, err := unix.Wait4(pid, &ws, unix.WNOHANG, &ru)
	if err != nil || got != pid || p == nil {
		t.mu.Unlock()
		return
	}
	delete(t.byPID, pid)
	p.status = newStatus(ws, &ru)
	if p.io != nil {
		t.remember(p.id)
	}
	t.mu.Unlock()
	if p.io != nil {
		p.io.End()
	}
	close(p.done)
}

// remember adds id to the ended and forgets the oldest. The caller holds t.mu.
func (t *Table) remember(id string) {
	t.live--
	if len(t.ended) >= maxEnded {
		delete(t.byID, t.ended[0])
		t.ended = t.ended[:copy(t.ended, t.ended[1:])]
	}
	t.ended = append(t.ended, id)
}

// WaitEmpty waits until there is no child at all, orphans included.
func (t *Table) WaitEmpty(ctx context.Context) error {
	t.mu.Lock()
	empty := t.empty
	t.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
