package vsock

import (
	"container/heap"
	"time"
)

// timer is a deadline of what it is embedded in.
type timer struct {
	at    time.Time
	owner interface{ expired(*engine) }
	index int // in the heap, counted from 1; 0: not set
}

// timers are those that are set, the first at index 0.
type timers []*timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	*t = append(*t, x.(*timer))
	(*t)[len(*t)-1].index = len(*t)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	(*t)[len(*t)-1] = nil
	*t = (*t)[:len(*t)-1]
	last.index = 0
	return last
}

// set has x expire after d, whatever was set before.
func (t *timers) set(x *timer, d time.Duration) {
	t.stop(x)
	x.at = time.Now().Add(d)
	heap.Push(t, x)
}

// postpone has all expire later by d.
func (t timers) postpone(d time.Duration) {
	for _, x := range t {
		x.at = x.at.Add(d)
	}
}

func (t *timers) stop(x *timer) {
	if x.index > 0 {
		heap.Remove(t, x.index-1)
	}
}

// next says when the first expires, zero if none is set.
func (t timers) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].at
}

// expire serves the timers that have expired.
func (e *engine) expire() {
	if len(e.timers) == 0 {
		return
	}
	now := time.Now()
	for len(e.timers) > 0 && !now.Before(e.timers[0].at) {
		heap.Pop(&e.timers).(*timer).owner.expired(e)
	}
}
