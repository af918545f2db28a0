package virtio

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Area is one of the three parts of a queue; section 2.7.
type Area int

// The areas of a queue; section 2.7.
const (
	AreaDesc Area = iota
	AreaDriver
	AreaDevice
)

func (q *queueSetup) area(a Area) *memory.GPA {
	switch a {
	case AreaDesc:
		return &q.Desc
	case AreaDriver:
		return &q.Avail
	}
	return &q.Used
}

// QueueMax returns the most descriptors queue i may have, 0 if there is no
// such queue.
func (c *Common) QueueMax(i uint32) uint16 {
	if int64(i) >= int64(len(c.queues)) {
		return 0
	}
	return c.queues[i].max // never changes
}

// QueueReady reports whether queue i is enabled.
func (c *Common) QueueReady(i uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(i) < int64(len(c.queues)) && c.queues[i].ready
}

// SetQueueSize takes the number of descriptors the driver will use.
func (c *Common) SetQueueSize(i, size uint32) {
	c.setup(i, func(q *queueSetup) {
		if size > uint32(q.max) {
			c.Fail(&virtqueue.ProtocolError{Section: c.irq.DriverSection(), What: fmt.Sprintf("queue %d of %d descriptors, at most %d", i, size, q.max)})
			return
		}
		q.Size = uint16(size)
	})
}

// SetQueueAddress takes one half of an area's address.
func (c *Common) SetQueueAddress(i uint32, area Area, high bool, v uint32) {
	c.setup(i, func(q *queueSetup) {
		gpa := q.area(area)
		if high {
			*gpa = *gpa&0xffff_ffff | memory.GPA(v)<<32
		} else {
			*gpa = *gpa&^0xffff_ffff | memory.GPA(v)
		}
	})
}

// SetQueueReady enables queue i. One that is live can't be stopped by itself,
// although section 4.2.2.2 knows drivers that do: VIRTIO_F_RING_RESET isn't
// offered, and the device asks for a reset of all of it.
func (c *Common) SetQueueReady(i uint32, ready bool) {
	if ready || c.QueueReady(i) { // drivers clear it on their way out, in any state
		c.setup(i, func(q *queueSetup) { q.ready = ready })
	}
}

// setup changes queue i if the driver may do so now: after feature
// negotiation, before it goes live, and before the queue is enabled.
func (c *Common) setup(i uint32, change func(*queueSetup)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case int64(i) >= int64(len(c.queues)):
		c.Fail(&virtqueue.ProtocolError{Section: c.irq.DriverSection(), What: fmt.Sprintf("queue %d set up, there are %d", i, len(c.queues))})
	case c.status&StatusFeaturesOK == 0 || c.status&StatusDriverOK != 0:
		c.Fail(&virtqueue.ProtocolError{Section: "3.1.1", What: fmt.Sprintf("queue %d set up while the status is %v", i, c.status)})
	case c.queues[i].ready:
		c.Fail(&virtqueue.ProtocolError{Section: c.irq.DriverSection(), What: fmt.Sprintf("queue %d changed while it is enabled", i)})
	default:
		change(&c.queues[i])
	}
}

func (c *Common) resetQueues() {
	for i := range c.queues {
		q := &c.queues[i]
		*q = queueSetup{max: q.max}
		q.Size = q.max
	}
}

// activate hands the enabled queues to the device.
func (c *Common) activate() error {
	a := Activation{
		Memory:        c.mem,
		Features:      c.features,
		Queues:        make([]*Queue, len(c.queues)),
		Fail:          c.Fail,
		ConfigChanged: c.configChanged,
	}
	for i, setup := range c.queues {
		if !setup.ready {
			continue
		}
		setup.EventIdx = c.features&FeatureEventIdx != 0
		setup.Indirect = c.features&FeatureIndirectDesc != 0
		q, err := virtqueue.New(c.mem, setup.Config)
		if err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
		a.Queues[i] = &Queue{
			Queue: q, Kick: c.kicks[i], Interrupt: func() { c.irq.QueueInterrupt(i) },
			Counters: &c.counters[i], condition: &c.condition,
		}
	}
	if err := c.dev.Activate(a); err != nil {
		return err
	}
	c.active = a.Queues
	return nil
}
