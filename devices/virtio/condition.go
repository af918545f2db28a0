package virtio

import "sync/atomic"

// condition is how a device is, from one reset to the next: live, or broken and
// at rest, at first unseen by the driver. It counts resets, so that a failure
// that overlaps one doesn't reach the life after it. Its methods may be called
// from any goroutine.
type condition struct{ word atomic.Uint64 } // resets, and a state in the lowest bits

const (
	conditionBroken = 1 << iota
	conditionShown
	conditionNextLife
)

// broken reports whether the device is to leave its queues alone.
func (c *condition) broken() bool { return c.word.Load()&conditionBroken != 0 }

// shown reports whether the driver is to see that it must reset the device.
func (c *condition) shown() bool { return c.word.Load()&conditionShown != 0 }

// breakDown has the device rest, calls tell, and then shows the driver. It
// reports false if the device is broken already, or was reset meanwhile.
func (c *condition) breakDown(tell func()) bool {
	live := c.word.Load()
	if live&conditionBroken != 0 || !c.word.CompareAndSwap(live, live|conditionBroken) {
		return false
	}
	tell()
	return c.word.CompareAndSwap(live|conditionBroken, live|conditionBroken|conditionShown)
}

// reset begins another life.
func (c *condition) reset() {
	c.word.Store(c.word.Load()&^(conditionNextLife-1) + conditionNextLife)
}
