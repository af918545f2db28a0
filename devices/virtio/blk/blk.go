// Package blk is the virtio block device, virtio 1.2 section 5.2.
//
//	chain ─▶ request ─▶ Prompt backend: done at once
//	                 └▶ lane: in flight, up to maxLanes for each queue ─▶ Backend
package blk

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

const queueSize = 256

// maxQueues is one for each vCPU of the largest machine.
const maxQueues = 32

// Config describes a disk.
type Config struct {
	Backend Backend // stays the caller's, to be closed after the device's last Reset
	// Serial is what the guest can read as the disk's serial number, up to 20
	// bytes.
	Serial string
	Queues int // for vCPUs to use side by side, 1 to 32; 0 means 1
	// Limit is what the disk may move; nil is no limit. It stays the
	// caller's, to be changed at any time.
	Limit *ratelimit.Limiter
}

// Device is a disk.
type Device struct {
	backend  Backend
	prompt   Prompt
	serial   [idSize]byte
	config   *config
	limit    *ratelimit.Limiter
	capacity atomic.Uint64 // sectors
	count    int           // of queues
	// bulk is held by what may take the disk a second or more; no other lock is
	// taken under it. A reset waits for what is in flight, so that is one of these
	// at a time.
	bulk sync.Mutex

	mu      sync.Mutex // the rest; no other lock is taken under it
	changed func()     // tells the driver of a new capacity; nil while there is none
	missed  bool       // there was a new capacity while there was none
	queues  []*queue
}

// New returns a device for c.
func New(c Config) (*Device, error) {
	if c.Queues == 0 {
		c.Queues = 1
	}
	d := &Device{backend: c.Backend, limit: c.Limit, count: c.Queues}
	switch size := c.Backend.BlockSize(); {
	case c.Backend.Size() < sectorSize:
		return nil, errors.New("disk image is empty")
	case size < sectorSize || bits.OnesCount32(size) != 1:
		return nil, fmt.Errorf("disk has blocks of %d bytes, not a power of two from %d on", size, sectorSize)
	case c.Queues < 1 || c.Queues > maxQueues:
		return nil, fmt.Errorf("disk with %d queues: it has 1 to %d", c.Queues, maxQueues)
	case copy(d.serial[:], c.Serial) < len(c.Serial):
		return nil, fmt.Errorf("disk serial number is longer than %d bytes", idSize)
	}
	d.capacity.Store(c.Backend.Size() / sectorSize)
	d.config = newConfig(c.Backend, c.Queues)
	d.prompt = slow{}
	if p, ok := c.Backend.(Prompt); ok {
		d.prompt = p
	}
	return d, nil
}

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDBlock }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := uint64(featureSizeMax | featureSegMax | featureBlockSize | featureTopology | featureFlush)
	if d.count > 1 {
		f |= featureMultiQueue
	}
	if d.backend.ReadOnly() {
		return f | featureReadOnly
	}
	return f | featureDiscard | featureWriteZeroes
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.count)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) { d.config.read(offset, data) }

// WriteConfig implements virtio.Device: nothing here is writable.
func (d *Device) WriteConfig(uint64, []byte) {}

// Resized tells the device, and the driver, that the backend's size is
// another now. It may be called from any goroutine.
func (d *Device) Resized() {
	sectors := d.backend.Size() / sectorSize
	d.capacity.Store(sectors)
	d.config.setCapacity(sectors)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed != nil {
		d.changed()
	} else {
		d.missed = true
	}
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = a.ConfigChanged
	if d.missed { // perhaps since the driver read the old one
		d.changed()
		d.missed = false
	}
	// Section 5.2.6.2: a driver that can't flush expects every write to be
	// durable when it completes.
	writeThrough := a.Features&featureFlush == 0
	for _, q := range a.Queues {
		if q != nil {
			d.queues = append(d.queues, startQueue(d, q, writeThrough, a.Fail))
		}
	}
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.mu.Lock()
	queues := d.queues
	d.queues, d.changed = nil, nil
	d.mu.Unlock()
	for _, q := range queues {
		q.stop()
	}
}
