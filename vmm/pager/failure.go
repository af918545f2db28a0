package pager

import (
	"sync"
	"sync/atomic"
	"time"
)

// grace is how long those have to leave their guest who wait for a page that can't
// be had: those that are still there go on with zeroes, for they couldn't be ended in
// any other way.
const grace = 50 * time.Millisecond

// failure is that of a pager, which happens once.
type failure struct {
	once sync.Once
	over atomic.Bool // all is zeroes from now on

	mu   sync.Mutex
	err  error
	call func(error)
}

// happen tells the owner, who ends the machine, and returns when the time is over.
func (f *failure) happen(err error) {
	f.once.Do(func() {
		f.mu.Lock()
		f.err = err
		call := f.call
		f.mu.Unlock()
		if call != nil {
			call(err)
		}
		time.Sleep(grace)
		f.over.Store(true)
	})
}

func (f *failure) happened() bool { return f.over.Load() }

// tell has call hear of it.
func (f *failure) tell(call func(error)) {
	f.mu.Lock()
	f.call = call
	err := f.err
	f.mu.Unlock()
	if err != nil {
		call(err)
	}
}
