package virtio

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Suspend has the device rest, so that Save can tell where it is, until Resume.
// The vCPUs must be out of the guest until then: nobody else calls c's methods.
func (c *Common) Suspend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active != nil {
		c.dev.Suspend()
	}
}

// Resume lets a device go on that was suspended, or begin where another was that
// was saved. It fails if no queue can be where the state says.
func (c *Common) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.active != nil:
		c.dev.Resume()
	case c.status&StatusDriverOK != 0 && !c.condition.broken():
		return c.begin()
	}
	return nil
}

// begin activates a restored device. An interrupt that was on its way to the
// guest when it was saved may be in nobody's state; one too many does no harm.
func (c *Common) begin() error {
	if err := c.activate(); err != nil {
		return err
	}
	c.configChanged()
	for i, q := range c.active {
		if q != nil {
			c.irq.QueueInterrupt(i)
		}
	}
	return nil
}

// Save returns the state of a suspended device. It doesn't change it.
func (c *Common) Save() *statev1.Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &statev1.Device{
		Type:       uint32(c.dev.ID()),
		Status:     uint32(c.status),
		Features:   c.features,
		NeedsReset: c.condition.broken(),
		Generation: c.generation.Load(),
	}
	for i, q := range c.queues {
		at := q.Start
		if c.active != nil && c.active[i] != nil {
			at = c.active[i].Position()
		}
		s.Queues = append(s.Queues, &statev1.Queue{
			Size: uint32(q.Size), Desc: uint64(q.Desc), Avail: uint64(q.Avail), Used: uint64(q.Used), Ready: q.ready,
			NextAvail: uint32(at.NextAvail), NextUsed: uint32(at.NextUsed),
		})
	}
	c.dev.Save(s)
	return s
}

// StateError says that a device can't go on where another was.
type StateError struct{ What string }

func (e *StateError) Error() string { return "state of a device: " + e.What }

// Restore takes the state of another device, saved at any time before. The device
// has had no driver yet. It begins with Resume. It fails with *StateError where
// this device isn't like that one.
func (c *Common) Restore(s *statev1.Device) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := Status(s.GetStatus())
	switch {
	case s.GetType() != uint32(c.dev.ID()):
		return &StateError{fmt.Sprintf("it is of type %d, this device of type %d", s.GetType(), c.dev.ID())}
	case len(s.GetQueues()) != len(c.queues):
		return &StateError{fmt.Sprintf("it has %d queues, this device %d", len(s.GetQueues()), len(c.queues))}
	case s.GetStatus()&^uint32(statusKnown&^StatusNeedsReset) != 0, !status.inOrder():
		return &StateError{fmt.Sprintf("status %#x", s.GetStatus())}
	case s.GetFeatures()&FeatureVersion1 == 0 && status&StatusFeaturesOK != 0:
		return &StateError{"its driver accepted a device without VIRTIO_F_VERSION_1"}
	case s.GetFeatures()&^c.offered() != 0 && status&StatusFeaturesOK != 0:
		return &StateError{fmt.Sprintf("its driver uses features %#x that this device doesn't have", s.GetFeatures()&^c.offered())}
	}
	for i, q := range s.GetQueues() {
		if err := c.restoreQueue(&c.queues[i], q); err != nil {
			return err
		}
	}
	c.status, c.features = status, s.GetFeatures()
	c.generation.Store(s.GetGeneration())
	if s.GetNeedsReset() {
		c.condition.breakDown(func() {}) // it was told
	}
	return c.dev.Restore(s)
}

// restoreQueue takes what the driver wrote of a queue. Where its areas are is
// looked at when it goes live.
func (c *Common) restoreQueue(q *queueSetup, s *statev1.Queue) error {
	if s.GetSize() > uint32(q.max) {
		return &StateError{fmt.Sprintf("a queue of %d descriptors, this device's have at most %d", s.GetSize(), q.max)}
	}
	q.Config = virtqueue.Config{
		Size: uint16(s.GetSize()), Desc: memory.GPA(s.GetDesc()), Avail: memory.GPA(s.GetAvail()), Used: memory.GPA(s.GetUsed()),
		Start: virtqueue.Position{NextAvail: uint16(s.GetNextAvail()), NextUsed: uint16(s.GetNextUsed())},
	}
	q.ready = s.GetReady()
	return nil
}
