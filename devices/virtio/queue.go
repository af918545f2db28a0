package virtio

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Queue is a virtqueue with its two doorbells. One goroutine pops chains; any
// may push them back.
type Queue struct {
	*virtqueue.Queue
	// Kick counts the driver's notifications.
	Kick *eventfd.EventFD
	// Interrupt tells the driver to look at the used ring.
	Interrupt func()

	used     sync.Mutex    // the used ring; no other lock is taken under it
	stopping atomic.Bool   // by Loop.Stop: chains that are left stay where they are
	stop     chan struct{} // closed then, too; nil without a Loop
}

// Pass waits until limit lets an operation of n bytes pass. It reports false if
// the queue's Loop is being stopped first. What was pushed so far is flushed
// before it waits.
func (q *Queue) Pass(limit *ratelimit.Limiter, n int) bool {
	for {
		wait := limit.Take(n)
		if wait == 0 {
			return true
		}
		q.Flush()
		select {
		case <-time.After(wait):
		case <-q.stop:
			return false
		}
	}
}

// Push gives a chain back to the driver: the device has written its first n
// writable bytes. The driver sees it after Flush.
func (q *Queue) Push(head uint16, n uint32) {
	q.used.Lock()
	q.Queue.Push(head, n)
	q.used.Unlock()
}

// Flush shows the driver what was pushed and interrupts it if it wants that.
func (q *Queue) Flush() {
	q.used.Lock()
	wanted := q.Publish()
	q.used.Unlock()
	if wanted {
		q.Interrupt()
	}
}

// Drain calls next until it reports that the queue is empty, and the driver
// has promised to notify of the next chain, or until the queue's Loop is being
// stopped: a driver may make chains as fast as they are served.
func (q *Queue) Drain(next func() (more bool, err error)) error {
	for {
		q.DisableKicks()
		for !q.stopping.Load() {
			more, err := next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
		q.Flush()
		if q.stopping.Load() || !q.EnableKicks() {
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
