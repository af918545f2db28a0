package virtio

import (
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Counts is what went through a device's queues since it was made, resets or no
// resets.
type Counts struct {
	Requests  uint64 // chains taken from the driver
	FromGuest uint64 // bytes to read in these
	ToGuest   uint64 // bytes written to those given back
	Breaches  uint64 // how often the device came to need a reset
}

// Counters counts what goes through one queue. Any goroutine may read it. It has
// a cache line for itself, as a queue may have a processor.
type Counters struct {
	requests, fromGuest counter // the goroutine's that pops
	toGuest             counter // under the queue's used
	_                   [64 - 3*8]byte
}

// took counts a chain that was taken.
func (c *Counters) took(chain *virtqueue.Chain) {
	if c != nil {
		c.requests.add(1)
		c.fromGuest.add(uint64(chain.ReadLen()))
	}
}

// gave counts what was written to a chain that is given back.
func (c *Counters) gave(n uint32) {
	if c != nil {
		c.toGuest.add(uint64(n))
	}
}

// counter has one writer at a time and readers at any. The writer does without
// atomic operations, three of which would cost as much as a tenth of a chain: Go
// promises that a word is read as it was written by somebody.
type counter uint64

//go:norace
func (c *counter) add(n uint64) { *c += counter(n) }

func (c *counter) load() uint64 { return atomic.LoadUint64((*uint64)(c)) }

// Counts returns what went through all queues so far. It doesn't wait, and may be
// called from any goroutine.
func (c *Common) Counts() Counts {
	sum := Counts{Breaches: c.breaches.Load()}
	for i := range c.counters {
		q := &c.counters[i]
		sum.Requests += q.requests.load()
		sum.FromGuest += q.fromGuest.load()
		sum.ToGuest += q.toGuest.load()
	}
	return sum
}
