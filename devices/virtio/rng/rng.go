// Package rng is the virtio entropy device, virtio 1.2 section 5.4.
package rng

import (
	"crypto/rand"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

const queueSize = 64

// maxRequest bounds the work one request can cause; section 5.4.6.1 lets the
// device give less than there is room for.
const maxRequest = 4096

// Device is an entropy source fed by the host's.
type Device struct {
	loop  *virtio.Loop
	chain virtqueue.Chain
	buf   [maxRequest]byte
}

// New returns a device.
func New() *Device { return new(Device) }

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
		d.loop = virtio.StartLoop(q, func() error { return q.Each(&d.chain, d.serve) }, a.Fail)
	}
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.loop.Stop()
	d.loop = nil
}

// serve fills one request.
func (d *Device) serve(c *virtqueue.Chain) (uint32, error) {
	if c.WriteLen() == 0 {
		return 0, &virtqueue.ProtocolError{Section: "5.4.6.1", What: "request without a writable buffer"}
	}
	b := d.buf[:min(c.WriteLen(), maxRequest)]
	rand.Read(b) // never fails
	return uint32(c.Write(b)), nil
}
