// Package blk is the virtio block device, virtio 1.2 section 5.2.
package blk

import (
	"encoding/binary"
	"errors"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Feature bits; section 5.2.3.
const (
	featureSegMax   = 1 << 2
	featureReadOnly = 1 << 5
	featureFlush    = 1 << 9
)

const (
	queueSize = 256
	// segMax leaves room for header and status in a chain.
	segMax = queueSize - 2

	// Configuration space; section 5.2.4.
	configSize  = 60
	offCapacity = 0
	offSegMax   = 12
)

// Backend stores the disk's bytes. Its methods may overlap. Offsets and
// lengths are whole sectors of 512 bytes within Size.
type Backend interface {
	Size() uint64 // bytes
	ReadOnly() bool
	ReadAt(bufs [][]byte, off int64) error
	WriteAt(bufs [][]byte, off int64) error
	// Flush makes every write that has returned durable.
	Flush() error
}

// Config describes a disk.
type Config struct {
	Backend Backend // stays the caller's, to be closed after the device's last Reset
	// Serial is what the guest can read as the disk's serial number, up to 20
	// bytes.
	Serial string
}

// Device is a disk.
type Device struct {
	backend  Backend
	serial   [idSize]byte
	capacity uint64 // sectors
	config   [configSize]byte
	loop     *virtio.Loop
}

// New returns a device for c.
func New(c Config) (*Device, error) {
	d := &Device{backend: c.Backend, capacity: c.Backend.Size() / sectorSize}
	if d.capacity == 0 {
		return nil, errors.New("disk image is empty")
	}
	if copy(d.serial[:], c.Serial) < len(c.Serial) {
		return nil, errors.New("disk serial number is longer than 20 bytes")
	}
	binary.LittleEndian.PutUint64(d.config[offCapacity:], d.capacity)
	binary.LittleEndian.PutUint32(d.config[offSegMax:], segMax)
	return d, nil
}

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDBlock }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := uint64(featureSegMax | featureFlush)
	if d.backend.ReadOnly() {
		f |= featureReadOnly
	}
	return f
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	virtio.ReadConfig(d.config[:], offset, data)
}

// WriteConfig implements virtio.Device: nothing here is writable.
func (d *Device) WriteConfig(uint64, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	q := a.Queues[0]
	if q == nil {
		return nil
	}
	w := &worker{
		Device: d,
		// Section 5.2.6.2: a driver that can't flush expects every write to
		// be durable when it completes.
		writeThrough: a.Features&featureFlush == 0,
	}
	d.loop = virtio.StartLoop(q, func() error { return q.Each(&w.chain, w.serve) }, a.Fail)
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.loop.Stop()
	d.loop = nil
}

// worker serves one queue.
type worker struct {
	*Device
	writeThrough bool
	chain        virtqueue.Chain
	view         [][]byte // of the request's data, reused
}

// serve carries out one request and returns how many bytes it wrote to the
// chain, status included.
func (w *worker) serve(c *virtqueue.Chain) (uint32, error) {
	r, err := w.parse(c)
	if err != nil {
		return 0, err
	}
	status, n := w.do(&r)
	c.WriteAt([]byte{status}, c.WriteLen()-1)
	return uint32(n + 1), nil
}

// do carries out r. Whatever the host's disk has to say becomes a status.
func (w *worker) do(r *request) (status byte, n int) {
	switch r.kind {
	case typeIn:
		off, ok := r.offset(w.capacity)
		if !ok || w.backend.ReadAt(r.data, off) != nil {
			return statusIOErr, 0
		}
		return statusOK, r.dataLen
	case typeOut:
		off, ok := r.offset(w.capacity)
		if !ok || w.backend.ReadOnly() || w.backend.WriteAt(r.data, off) != nil {
			return statusIOErr, 0
		}
		if w.writeThrough {
			return w.flush(), 0
		}
		return statusOK, 0
	case typeFlush:
		return w.flush(), 0
	case typeGetID:
		return statusOK, w.getID(r)
	}
	return statusUnsupported, 0
}

func (w *worker) flush() byte {
	if w.backend.Flush() != nil {
		return statusIOErr
	}
	return statusOK
}

func (w *worker) getID(r *request) (n int) {
	for _, b := range r.data {
		n += copy(b, w.serial[n:])
	}
	return n
}
