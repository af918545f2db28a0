package virtio

import "sync/atomic"

// rest is how a Loop is asked to leave its queue alone.
type rest struct {
	wanted atomic.Int32  // a rest...
	asked  chan struct{} // closed while one is wanted; nil without a Loop
}

const (
	restNever int32 = iota
	// restForNow, between two chains: what was taken is given back or put back.
	restForNow
	// restForGood, at once: what was taken is lost.
	restForGood
)

func (r *rest) want() int32 { return r.wanted.Load() }

// ask wants a rest, which may follow another.
func (r *rest) ask(want int32) {
	if r.wanted.Swap(want) == restNever {
		close(r.asked)
	}
}

// clear wants none, while the Loop rests or before it runs.
func (r *rest) clear() {
	r.asked = make(chan struct{})
	r.wanted.Store(restNever)
}
