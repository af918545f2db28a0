package vsock

import (
	"sync/atomic"
	"time"
)

// rest is how the engine's goroutine is asked to leave the queues alone.
type rest struct {
	wanted atomic.Bool
	parked chan struct{} // sent when it does
	over   chan struct{} // sent when it may go on
}

func newRest() rest { return rest{parked: make(chan struct{}), over: make(chan struct{})} }

// suspend returns when the engine rests between two turns. Connections and those
// who wait for one stay. resume or stop must follow.
func (e *engine) suspend() {
	e.rest.wanted.Store(true)
	e.wake.Signal() // can't fail: it is open
	select {
	case <-e.rest.parked:
	case <-e.done: // it failed
	}
}

// resume lets an engine go on that rests. For one that is about to end it waits.
func (e *engine) resume() {
	e.rest.wanted.Store(false)
	select {
	case e.rest.over <- struct{}{}:
	case <-e.done:
	}
}

// goOn rests for as long as is wanted and reports whether there is to be more.
func (e *engine) goOn() bool {
	if e.rest.wanted.Load() {
		e.park()
	}
	return !e.stopping.Load()
}

// park rests. Between two turns no chain is held, and all is flushed. Time stands
// still meanwhile, as it does for the guest, which can answer nobody.
func (e *engine) park() {
	began := time.Now()
	e.rest.parked <- struct{}{}
	<-e.rest.over
	e.timers.postpone(time.Since(began))
	e.txWork, e.rxWork = true, true
	e.notice.look = e.event != nil
}
