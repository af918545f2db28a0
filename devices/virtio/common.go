package virtio

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Interrupter is how a transport reaches its driver.
type Interrupter interface {
	// QueueInterrupt says that a queue's used ring has something new.
	QueueInterrupt(queue int)
	// ConfigInterrupt says that the configuration space or the status
	// changed.
	ConfigInterrupt()
	// DriverSection returns the section of virtio 1.2 with the driver's rules
	// for this transport's registers, for evidence.
	DriverSection() string
}

// Common is the part of a virtio device that is the same behind every
// transport: the status machine, feature negotiation, and the queues until
// they go live. Transports translate registers into its methods, which may be
// called from any goroutine.
//
// A driver that breaks the protocol gets DEVICE_NEEDS_RESET: what is in flight
// ends unseen, and nothing else is done until the driver resets the device.
type Common struct {
	dev    Device
	mem    *memory.Memory
	irq    Interrupter
	report func(error)
	kicks  []*eventfd.EventFD

	generation atomic.Uint32
	counters   []Counters // of each queue, for as long as the device is there
	breaches   atomic.Uint64
	// condition is outside mu: a device that is being reset, with mu held, may
	// fail at the same time.
	condition condition

	// mu guards the rest. Under it a device's own lock is taken, and under
	// both the transport's and the evidence's, by ConfigInterrupt and report.
	mu       sync.Mutex
	status   Status
	features uint64 // the driver's
	queues   []queueSetup
	active   []*Queue // what the device works on; nil while it is not active
}

// queueSetup is what the driver has written about a queue.
type queueSetup struct {
	virtqueue.Config
	max   uint16
	ready bool
}

// NewCommon wraps dev. It calls report, from any goroutine, with the evidence
// each time the device comes to need a reset. Close must follow.
func NewCommon(dev Device, mem *memory.Memory, irq Interrupter, report func(error)) (*Common, error) {
	c := &Common{dev: dev, mem: mem, irq: irq, report: report}
	for _, max := range dev.QueueSizes() {
		kick, err := eventfd.New()
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.kicks = append(c.kicks, kick)
		c.queues = append(c.queues, queueSetup{max: max})
	}
	c.counters = make([]Counters, len(c.queues))
	c.resetQueues()
	return c, nil
}

// Close resets the device and frees the doorbells.
func (c *Common) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset()
	var err error
	for _, kick := range c.kicks {
		err = errors.Join(err, kick.Close())
	}
	return err
}

// Device returns the device behind.
func (c *Common) Device() Device { return c.dev }

// Kicks returns the queues' doorbells, which stay c's own.
func (c *Common) Kicks() []*eventfd.EventFD { return c.kicks }

// Kick rings a queue's doorbell, for a notification that came without
// ioeventfd.
func (c *Common) Kick(queue uint32) {
	if int64(queue) < int64(len(c.kicks)) {
		c.kicks[queue].Signal() // fails only once closed
	}
}

// Fail makes the device ask for a reset; section 2.1.2. Whoever sees that it
// does finds the evidence reported.
func (c *Common) Fail(err error) {
	if c.condition.breakDown(func() { c.breaches.Add(1); c.report(err) }) {
		c.irq.ConfigInterrupt()
	}
}

// Generation changes whenever the configuration space does; section 2.5.
func (c *Common) Generation() uint32 { return c.generation.Load() }

func (c *Common) configChanged() {
	c.generation.Add(1)
	c.irq.ConfigInterrupt()
}

// Status returns the device status field.
func (c *Common) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.currentStatus()
}

func (c *Common) currentStatus() Status {
	if c.condition.shown() {
		return c.status | StatusNeedsReset
	}
	return c.status
}

// SetStatus takes the driver's write to the status field. Zero resets the
// device and returns once it is at rest. Other values may only add bits, in
// the order of section 3.1.1.
func (c *Common) SetStatus(v Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v == 0 {
		c.reset()
		return
	}
	current := c.currentStatus()
	added := v &^ current
	switch {
	case current&^v&^StatusNeedsReset != 0:
		c.Fail(&virtqueue.ProtocolError{Section: "2.1.1", What: fmt.Sprintf("status %v written over %v clears bits", v, current)})
		return
	case added&^statusKnown != 0 || added&StatusNeedsReset != 0:
		c.Fail(&virtqueue.ProtocolError{Section: "2.1.1", What: fmt.Sprintf("status %#x written", uint8(v))})
		return
	}
	for _, bit := range []Status{StatusAcknowledge, StatusDriver, StatusFailed, StatusFeaturesOK, StatusDriverOK} {
		if added&bit != 0 && !c.advance(bit) {
			return
		}
	}
}

// advance sets one status bit if it may be set now.
func (c *Common) advance(bit Status) bool {
	if need := before(bit); c.status&need != need {
		c.Fail(&virtqueue.ProtocolError{Section: "3.1.1", What: fmt.Sprintf("%v set while the status is %v", bit, c.status)})
		return false
	}
	if c.condition.broken() && bit != StatusFailed {
		return false
	}
	switch bit {
	case StatusFeaturesOK:
		// Section 2.2.2: what can't be accepted is refused by leaving the
		// bit unset, which the driver reads back.
		if c.features&^c.offered() != 0 || c.features&FeatureVersion1 == 0 {
			return false
		}
	case StatusDriverOK:
		if err := c.activate(); err != nil {
			c.Fail(err)
			return false
		}
	}
	c.status |= bit
	return true
}

func (c *Common) reset() {
	if c.status&StatusDriverOK != 0 {
		c.dev.Reset()
	}
	c.active = nil
	c.status, c.features = 0, 0
	c.condition.reset()
	c.resetQueues()
}

func (c *Common) offered() uint64 {
	return c.dev.Features() | FeatureIndirectDesc | FeatureEventIdx | FeatureVersion1
}

// DeviceFeatures returns 32 of the bits offered; word counts from bit 0.
func (c *Common) DeviceFeatures(word uint32) uint32 {
	if word > 1 {
		return 0
	}
	return uint32(c.offered() >> (32 * word))
}

// SetDriverFeatures takes 32 of the bits the driver accepts.
func (c *Common) SetDriverFeatures(word, v uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.status&StatusFeaturesOK != 0:
		c.Fail(&virtqueue.ProtocolError{Section: "3.1.1", What: "features written after FEATURES_OK"})
	case word > 1:
		if v != 0 {
			c.Fail(&virtqueue.ProtocolError{Section: "2.2.1", What: fmt.Sprintf("features above bit 63 accepted: %#x", v)})
		}
	default:
		shift := 32 * word
		c.features = c.features&^(0xffff_ffff<<shift) | uint64(v)<<shift
	}
}
