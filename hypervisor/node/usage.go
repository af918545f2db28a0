package node

import (
	"sync"
	"time"
)

// usage is what clients have in a sandbox.
type usage struct {
	changed chan struct{} // has a token after a change

	mu    sync.Mutex // the rest; no other lock is taken under it
	uses  int
	since time.Time // that there is none
}

// begin counts a use, until end is called.
func (u *usage) begin() (end func()) {
	u.mu.Lock()
	u.uses++
	u.mu.Unlock()
	u.tell()
	return sync.OnceFunc(func() {
		u.mu.Lock()
		u.uses--
		u.since = time.Now()
		u.mu.Unlock()
		u.tell()
	})
}

// rest says that there is none, from now on.
func (u *usage) rest() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.since = time.Now()
}

// idleSince returns since when there is none.
func (u *usage) idleSince() (t time.Time, idle bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.since, u.uses == 0
}

func (u *usage) tell() {
	select {
	case u.changed <- struct{}{}:
	default:
	}
}
