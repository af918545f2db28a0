// Package net is the virtio network device, virtio 1.2 section 5.1.
package net

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

// Feature bits; section 5.1.3.
const (
	featureMAC    = 1 << 5
	featureStatus = 1 << 16
)

const (
	queueRX   = 0
	queueTX   = 1
	queueSize = 256

	headerSize = 12 // virtio_net_hdr_v1, section 5.1.6
	// minBuffer is the smallest receive buffer without large receive
	// offloads; section 5.1.6.3.1.
	minBuffer = headerSize + 1514

	// Configuration space; section 5.1.4.
	configSize   = 8 // mac, status
	offStatus    = 6
	statusLinkUp = 1
	macSize      = 6
)

// Port is the host's end of the wire. Frames carry a virtio_net_hdr_v1 in
// front. One goroutine may be in Receive while another is in Send.
type Port interface {
	// Receive waits for a frame and reads it into bufs.
	Receive(bufs [][]byte) (int, error)
	// Send writes a frame. Frames may be lost without an error.
	Send(bufs [][]byte) error
	// Interrupt makes Receive and Send fail until Rearm.
	Interrupt()
	Rearm()
}

// Config describes a network interface.
type Config struct {
	Port Port   // stays the caller's, to be closed after the device's last Reset
	MAC  []byte // six bytes; nil: made up
}

// Device is a network interface.
type Device struct {
	port   Port
	config [configSize]byte

	rx *receiver
	tx *virtio.Loop
}

// New returns a device for c.
func New(c Config) (*Device, error) {
	mac := c.MAC
	if mac == nil {
		mac = make([]byte, macSize)
		rand.Read(mac)            // never fails
		mac[0] = mac[0]&^1 | 1<<1 // unicast, locally administered
	}
	if len(mac) != macSize {
		return nil, fmt.Errorf("MAC address of %d bytes, want %d", len(mac), macSize)
	}
	if mac[0]&1 != 0 {
		return nil, errors.New("MAC address is a multicast address")
	}
	d := &Device{port: c.Port}
	copy(d.config[:], mac)
	d.config[offStatus] = statusLinkUp
	return d, nil
}

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDNet }

// Features implements virtio.Device.
func (d *Device) Features() uint64 { return featureMAC | featureStatus }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueRX: queueSize, queueTX: queueSize} }

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	virtio.ReadConfig(d.config[:], offset, data)
}

// WriteConfig implements virtio.Device: nothing here is writable.
func (d *Device) WriteConfig(uint64, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.port.Rearm()
	if q := a.Queues[queueRX]; q != nil {
		d.rx = startReceiver(d.port, q, a.Fail)
	}
	if q := a.Queues[queueTX]; q != nil {
		s := &sender{port: d.port}
		d.tx = virtio.StartLoop(q, func() error { return q.Each(&s.chain, s.serve) }, a.Fail)
	}
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.port.Interrupt()
	d.rx.Stop()
	d.tx.Stop()
	d.rx, d.tx = nil, nil
}
