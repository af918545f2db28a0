package store

import "sync"

// Notifier tells those who wait that there was a change: a part of every Store.
type Notifier struct {
	mu      sync.Mutex // the rest; no other lock is taken under it
	version uint64
	changed chan struct{} // nil: nobody waits
}

// Version returns the number of the last change.
func (n *Notifier) Version() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.version
}

// Changed returns a channel that is closed at the next change.
func (n *Notifier) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed
}

// Notify says that the last change is number version now.
func (n *Notifier) Notify(version uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version = version
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}
