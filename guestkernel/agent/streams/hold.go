package streams

import "time"

// hold is a time in which a link whose connection breaks waits for another. It
// begins with Hold, or with Renew, and ends with Release, or a while after Renew.
type hold struct {
	renewed bool          // it ends by itself
	over    chan struct{} // closed at its end, or when another takes its place
	ended   bool          // it was the end; set before
}

// Hold has links whose connection breaks wait, until Release or Renew: from now on
// the machine may turn out to be one restored from a snapshot.
func (h *Hub) Hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hold == nil || h.hold.renewed {
		h.begin(false)
	}
}

// begin begins a hold. Who waits in another goes on waiting in this one. The caller
// holds h.mu.
func (h *Hub) begin(renewed bool) {
	before := h.hold
	h.hold = &hold{renewed: renewed, over: make(chan struct{})}
	if before != nil {
		close(before.over)
	}
}

// Release ends what Hold began: the machine is the one that it was. The host of a
// connection that broke meanwhile has gone.
func (h *Hub) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hold != nil && !h.hold.renewed {
		h.end(h.hold)
	}
}

// Renew says that the machine was restored: the links that it was saved with wait
// for their new connections, as long as d from now on.
func (h *Hub) Renew(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin(true)
	now := h.hold
	time.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.end(now)
	})
}

// end ends a hold, if it is the one there is. The caller holds h.mu.
func (h *Hub) end(now *hold) {
	if h.hold == now {
		h.hold = nil
		now.ended = true
		close(now.over)
	}
}

// waits returns the hold in which a link may wait for another connection than the
// one that came in since; nil if it may not. After Renew each may once.
func (h *Hub) waits(since *hold) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mayWait(since)
}

// mayWait is waits for a caller that holds h.mu.
func (h *Hub) mayWait(since *hold) *hold {
	if h.hold != nil && h.hold.renewed && h.hold == since {
		return nil
	}
	return h.hold
}
