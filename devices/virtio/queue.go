package virtio

import (
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Queue is a virtqueue with its two doorbells. One goroutine pops chains, and
// says whether it wants kicks; any may push chains back, beside it and each
// other.
type Queue struct {
	*virtqueue.Queue
	// Kick counts the driver's notifications.
	Kick *eventfd.EventFD
	// Interrupt tells the driver to look at the used ring.
	Interrupt func()
	// Counters counts what goes through. nil: nobody does.
	Counters *Counters

	// condition is the device's, nil if it can't break. One that needs a reset
	// leaves its queues alone; section 2.1.2.
	condition *condition

	used sync.Mutex // the used ring; no other lock is taken under it
	rest rest       // what the queue's Loop is asked to do beside its work

	undone int // of the next chains were counted before; the popping goroutine's
}

func (q *Queue) dead() bool { return q.condition != nil && q.condition.broken() }

// Pop is virtqueue.Queue.Pop. There is nothing in the queue of a device that
// needs a reset.
func (q *Queue) Pop(c *virtqueue.Chain) (bool, error) {
	if q.dead() {
		return false, nil
	}
	ok, err := q.Queue.Pop(c)
	if !ok {
		return false, err
	}
	if q.undone > 0 {
		q.undone--
	} else {
		q.Counters.took(c)
	}
	return true, nil
}

// Undo is virtqueue.Queue.Undo. The chain stays counted. Several that were taken
// one after another may be put back one after another, the last first.
func (q *Queue) Undo() {
	q.undone++
	q.Queue.Undo()
}

// EnableKicks is virtqueue.Queue.EnableKicks, likewise.
func (q *Queue) EnableKicks() (more bool) { return !q.dead() && q.Queue.EnableKicks() }

// Pass waits until limit lets so many operations of n bytes in all pass. It
// reports false if the queue's Loop is to rest first: whoever asked puts back
// what it has taken. What was pushed so far is flushed before it waits.
func (q *Queue) Pass(limit *ratelimit.Limiter, operations, n int) bool {
	for {
		wait := limit.Take(operations, n)
		if wait == 0 {
			return true
		}
		q.Flush()
		select {
		case <-time.After(wait):
		case <-q.rest.asked:
			return false
		}
	}
}

// Stopping reports whether the queue's Loop is being stopped: who is at a long
// request may leave it, as nobody will see how it ends.
func (q *Queue) Stopping() bool { return q.rest.want() == restForGood }

// Resting reports whether the queue's Loop is being paused or stopped: no other
// chain is to be taken.
func (q *Queue) Resting() bool { return q.rest.want() != restNever }

// Push gives a chain back to the driver: the device has written its first n
// writable bytes. The driver sees it after Flush.
func (q *Queue) Push(head uint16, n uint32) {
	q.used.Lock()
	defer q.used.Unlock()
	if !q.dead() {
		q.Queue.Push(head, n)
		q.Counters.gave(n)
	}
}

// Flush shows the driver what was pushed and interrupts it if it wants that.
func (q *Queue) Flush() {
	q.used.Lock()
	wanted := !q.dead() && q.Publish()
	q.used.Unlock()
	if wanted {
		q.Interrupt()
	}
}

// Drain calls next until it reports that the queue is empty, and the driver
// has promised to notify of the next chain, or until the queue's Loop is to rest:
// a driver may make chains as fast as they are served.
func (q *Queue) Drain(next func() (more bool, err error)) error {
	for {
		q.DisableKicks()
		for !q.Resting() {
			more, err := next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
		q.Flush()
		if q.Resting() || !q.EnableKicks() {
			return nil
		}
	}
}

// Each drains the queue of chains that are served at once, one after another.
// serve returns how many bytes it wrote.
func (q *Queue) Each(c *virtqueue.Chain, serve func(*virtqueue.Chain) (uint32, error)) error {
	return q.Drain(func() (bool, error) {
		ok, err := q.Pop(c)
		if !ok || err != nil {
			return false, err
		}
		n, err := serve(c)
		if err != nil {
			return false, err
		}
		q.Push(c.Head, n)
		return true, nil
	})
}
