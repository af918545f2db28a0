// Package rng is the virtio entropy device, virtio 1.2 section 5.4.
package rng

import (
	"crypto/rand"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const queueSize = 64

// maxRequest bounds the work one request can cause; section 5.4.6.2 lets the
// device give less than there is room for.
const maxRequest = 4096

// Config describes an entropy source.
type Config struct {
	// Limit is how much it gives; nil is no limit. It stays the caller's, to
	// be changed at any time.
	Limit *ratelimit.Limiter
}

// Device is an entropy source fed by the host's.
type Device struct {
	limit *ratelimit.Limiter
	loop  *virtio.Loop
	chain virtqueue.Chain
	buf   [maxRequest]byte
}

// New returns a device for c.
func New(c Config) *Device { return &Device{limit: c.Limit} }

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDRNG }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// ReadConfig implements virtio.Device: there is no configuration space.
func (d *Device) ReadConfig(_ uint64, data []byte) { clear(data) }

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(uint64, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	if q := a.Queues[0]; q != nil {
		d.loop = virtio.StartLoop(q, func() error { return q.Drain(func() (bool, error) { return d.one(q) }) }, a.Fail)
	}
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.loop.Stop()
	d.loop = nil
}

// Suspend implements virtio.Device.
func (d *Device) Suspend() { d.loop.Pause() }

// Resume implements virtio.Device.
func (d *Device) Resume() { d.loop.Resume() }

// Save implements virtio.Device: there is nothing to know.
func (d *Device) Save(*statev1.Device) {}

// Restore implements virtio.Device.
func (d *Device) Restore(*statev1.Device) error { return nil }

// one fills one request.
func (d *Device) one(q *virtio.Queue) (more bool, err error) {
	ok, err := q.Pop(&d.chain)
	if !ok || err != nil {
		return false, err
	}
	if d.chain.WriteLen() == 0 {
		return false, &virtqueue.ProtocolError{Section: "5.4.6.2", What: "request without room for one random byte"}
	}
	b := d.buf[:min(d.chain.WriteLen(), maxRequest)]
	if !q.Pass(d.limit, 1, len(b)) {
		q.Undo()
		return false, nil
	}
	rand.Read(b) // never fails
	q.Push(d.chain.Head, uint32(d.chain.Write(b)))
	return true, nil
}
