package record

import (
	"sync/atomic"
	"time"
)

// settleTime is how long nothing comes from a device that has nothing more.
const settleTime = 100 * time.Millisecond

// activity is whether streams carry something.
type activity struct {
	now  atomic.Int32 // that many do
	last atomic.Int64 // when one did, in nanoseconds since 1970
}

func (a *activity) begin() { a.now.Add(1) }

func (a *activity) end() {
	a.last.Store(time.Now().UnixNano())
	a.now.Add(-1)
}

// quietSince reports whether nothing has come since t.
func (a *activity) quietSince(t time.Time) bool {
	return a.now.Load() == 0 && a.last.Load() < t.UnixNano()
}

// Settle waits until what the machine's devices still hold is in the logs: for a
// machine whose guest doesn't run any more, and whose devices do. It is over when
// nothing has come for a while, and soon in any case.
func (s *Set) Settle() {
	ended := time.Now()
	for time.Since(ended) < drainTime {
		quiet := time.Now().Add(-settleTime)
		if s.all(func(r *recorder) bool { return quiet.After(ended) && r.busy.quietSince(quiet) }) {
			return
		}
		time.Sleep(settleTime / 10)
	}
}

// all reports whether something is true of every recorder.
func (s *Set) all(is func(*recorder) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recorders {
		if !is(r) {
			return false
		}
	}
	return true
}
