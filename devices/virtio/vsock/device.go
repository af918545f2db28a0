// Package vsock is the virtio socket device, virtio 1.2 section 5.10: stream
// sockets between guest processes and unix sockets of the host.
//
//	guest ─▶ tx queue ─▶ fromGuest ─▶ conn ─▶ host's unix socket
//	guest ◀─ rx queue ◀─ toGuest ◀─ conn ◀─ host's unix socket
//
// One goroutine, the engine, serves every connection with non-blocking calls,
// so a slow peer holds up only itself and a connection costs a few hundred
// bytes. Bytes go from guest memory to the socket and back without a copy,
// save for what a slow host process hasn't read yet, which is bounded by the
// credit the guest was given. File limits.go has what all of it may take.
package vsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

const (
	queueRX    = 0
	queueTX    = 1
	queueEvent = 2

	queueSize      = 128
	eventQueueSize = 16

	minCID = 3 // below are the host and the reserved; section 5.10.4
)

// Config describes a socket device.
type Config struct {
	CID    uint32 // the guest's address, 3 or more
	Routes []Route
	// Warn, if not nil, hears that connections wait or are refused for want
	// of something that the host's operator can give: once, from the device's
	// goroutine.
	Warn func(error)
}

// Device is a socket device.
type Device struct {
	cid       uint64
	warn      func(error)
	warned    sync.Once
	limit     int           // of connections
	linger    time.Duration // lingerTime, save in tests
	listeners []*listener
	engine    *engine   // while active
	restored  *restored // what the next driver knows; nil: it begins
}

// New returns a device whose sockets exist from now until Close; who connects
// before the guest is up waits.
func New(c Config) (*Device, error) {
	if c.CID < minCID || c.CID == 0xffff_ffff {
		return nil, fmt.Errorf("vsock: guest CID %d: must be 3 to 4294967294", c.CID)
	}
	d := &Device{cid: uint64(c.CID), warn: c.Warn, linger: lingerTime}
	if d.warn == nil {
		d.warn = func(error) {}
	}
	var err error
	if d.limit, err = connLimit(); err != nil {
		return nil, err
	}
	for _, r := range c.Routes {
		l, err := listen(r)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.listeners = append(d.listeners, l)
	}
	return d, nil
}

// Close removes the sockets, after the last Reset.
func (d *Device) Close() (err error) {
	for _, l := range d.listeners {
		err = errors.Join(err, l.close())
	}
	d.listeners = nil
	return err
}

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDVsock }

// Features implements virtio.Device: stream sockets are what there is without
// any.
func (d *Device) Features() uint64 { return 0 }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	return []uint16{queueRX: queueSize, queueTX: queueSize, queueEvent: eventQueueSize}
}

// ReadConfig implements virtio.Device: the guest's CID, section 5.10.4.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	virtio.ReadConfig(binary.LittleEndian.AppendUint64(nil, d.cid), offset, data)
}

// WriteConfig implements virtio.Device: nothing here is writable.
func (d *Device) WriteConfig(uint64, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	if a.Queues[queueRX] == nil || a.Queues[queueTX] == nil {
		return &virtqueue.ProtocolError{Section: "5.10.2", What: "vsock activated without its receive and transmit queues"}
	}
	e, err := newEngine(d, a)
	if err != nil {
		return err
	}
	if d.restored != nil {
		e.notice.most = d.restored.eventBuffers
		// The driver keeps its half of a connection that was reset until its owner
		// closes it, and refuses another between the same two ports.
		if d.restored.lastPort != 0 {
			e.lastPort = d.restored.lastPort
		}
		e.resetting.Store(true)
		d.restored = nil
	}
	d.engine = e
	e.start()
	return nil
}

// Reset implements virtio.Device. Every connection ends.
func (d *Device) Reset() {
	d.restored = nil
	if d.engine != nil {
		d.engine.stop()
		d.engine = nil
	}
}

// ResetTransport ends every connection and tells the driver by an event,
// section 5.10.6.7. What is new waits until the driver has taken the event. A
// device that was restored does so by itself. It does nothing while the device
// isn't active, and mustn't overlap Activate or Reset; it doesn't wait.
func (d *Device) ResetTransport() {
	if d.engine != nil {
		d.engine.resetting.Store(true)
		d.engine.wake.Signal() // can't fail: it is open
	}
}
