// Package process starts the guest's processes, knows when they end, and
// collects what nobody else does: its reaper is the one that waits, for every
// child there is, as the first process of a machine must.
package process

import (
	"sync"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

const (
	maxLive  = 1024 // processes started by Start and not ended
	maxEnded = 1024 // processes whose end is remembered
)

// Table is the processes of a guest. Its methods may be called from any
// goroutine. Nobody else may wait for children: os/exec doesn't work beside
// it.
//
// Lock ordering: forking, mu.
type Table struct {
	hub  *streams.Hub
	into Into

	// forking is held for reading from a fork until byPID has the child, so
	// that the reaper can tell a child that isn't there yet from an orphan.
	forking sync.RWMutex
	forked  chan struct{} // has a token after a fork
	reaper  sync.Once

	mu     sync.Mutex
	byID   map[string]*process
	byPID  map[int]*process // not yet reaped
	live   int
	ended  []string // IDs, oldest first
	empty  chan struct{}
	closed bool
	gate   *gate
}

// Into calls fork with the descriptor of a cgroup for the new process, or with -1 for
// none, and returns its error. It may call it again after one.
type Into func(fork func(cgroup int) error) error

// Anywhere is Into for processes that go where the agent is.
func Anywhere(fork func(cgroup int) error) error { return fork(-1) }

// process is one started by the host, or by Adopt: then it has no ID, and no
// io.
type process struct {
	id     string
	io     *stdio.IO
	pid    int           // 0: being started
	begun  chan struct{} // closed when it was started, or couldn't be: then failed says why
	failed error
	done   chan struct{} // closed when status is there
	status Status
}

// NewTable returns an empty table. The processes' streams come from hub, which
// doesn't serve yet, and they are started where into says.
func NewTable(hub *streams.Hub, into Into) *Table {
	t := &Table{
		hub:    hub,
		into:   into,
		forked: make(chan struct{}, 1),
		byID:   map[string]*process{},
		byPID:  map[int]*process{},
		empty:  make(chan struct{}),
	}
	close(t.empty)
	hub.Over = t.over
	return t
}

// over tells whether a process's streams are closed for good.
func (t *Table) over(id string) bool {
	t.mu.Lock()
	p := t.byID[id]
	ended := p != nil && p.pid != 0 && t.byPID[p.pid] != p
	t.mu.Unlock()
	return ended && p.io.Over()
}

// Live returns how many processes were started and have not ended.
func (t *Table) Live() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// Close refuses further processes.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	// What began earlier gets done.
	t.forking.Lock()
	defer t.forking.Unlock()
}

// reserve takes an ID for a process to be started.
func (t *Table) reserve(id string) (*process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, fail.Errorf(fail.Untimely, "the guest is being turned off")
	case t.byID[id] != nil:
		return nil, fail.Errorf(fail.Exists, "process ID %q is taken", id)
	case t.live >= maxLive:
		return nil, fail.Errorf(fail.Exhausted, "%d processes are running, the most there may be: wait for one to end", t.live)
	}
	p := &process{id: id, begun: make(chan struct{}), done: make(chan struct{})}
	t.byID[id] = p
	t.live++
	return p, nil
}

// release gives back the ID of a process that couldn't be started.
func (t *Table) release(p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, p.id)
	t.live--
}

// find returns the process id. The caller holds t.mu.
func (t *Table) find(id string) (*process, error) {
	if p := t.byID[id]; p != nil {
		return p, nil
	}
	return nil, fail.Errorf(fail.NotFound, "no process %q was started here", id)
}

// running is find for a process that can still be acted on.
func (t *Table) running(id string) (*process, error) {
	p, err := t.find(id)
	if err != nil {
		return nil, err
	}
	if p.pid == 0 {
		return nil, fail.Errorf(fail.Untimely, "process %q is still being started", id)
	}
	if t.byPID[p.pid] != p {
		return nil, fail.Errorf(fail.Untimely, "process %q has ended", id)
	}
	return p, nil
}
