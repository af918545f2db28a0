// Package net is the virtio network device, virtio 1.2 section 5.1.
//
//	guest ─▶ transmit queue ─▶ sender: header checked ─▶ Port
//	guest ◀─ receive queue ◀─ receiver: straight into the guest's buffers ◀─ Port
//	guest ─▶ control queue ─▶ control: how many queues, which offloads, MAC
package net

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

const (
	queueSize   = 256
	controlSize = 16
	maxPairs    = 16
)

// Port is the host's end of the cable: one or more wires, each of which
// carries frames both ways with a virtio_net_hdr_v1 in front. On a wire, one
// goroutine may be in Receive while another is in Send.
type Port interface {
	Wires() int
	// Use says over how many of the wires, from the first on, frames are
	// spread; 1 at first.
	Use(wires int) error
	// SetOffloads says what Receive may return: the bits of
	// VIRTIO_NET_F_GUEST_*, section 5.1.3.
	SetOffloads(features uint64) error
	// Receive waits for a frame and reads it into what bufs returns, which it
	// asks each time that it looks for a frame; what doesn't fit is lost. It
	// calls idle before it waits.
	Receive(wire int, bufs func() [][]byte, idle func()) (int, error)
	// Send writes a frame. Frames may be lost without an error.
	Send(wire int, bufs [][]byte) error
	// Interrupt makes Receive and Send fail with os.ErrDeadlineExceeded until
	// Rearm, those under way included. Either may follow itself.
	Interrupt()
	Rearm()
}

// Config describes a network interface.
type Config struct {
	Port Port   // stays the caller's, to be closed after the device's last Reset
	MAC  []byte // six bytes; nil: made up
	MTU  uint16 // of the guest's interface; 0: the guest's own choice
	// Held has nothing pass either way until Release: for a guest that takes itself
	// for another one, as long as it does.
	Held bool
	// OnlyOwn drops frames from the guest whose source isn't the device's address, which
	// the guest can't change then. Without, it may send as whoever it likes.
	OnlyOwn bool
	// LimitRX and LimitTX are what goes to the guest and what comes from it;
	// nil is no limit. They stay the caller's, to be changed at any time.
	LimitRX, LimitTX *ratelimit.Limiter
}

// Device is a network interface.
type Device struct {
	c      Config
	pairs  int // of queues
	config *config
	source [macSize]byte // the device's address, whatever the guest has set
	linkUp atomic.Bool
	held   atomic.Bool
	// commands bounds how often the guest may change the port's settings, over
	// resets.
	commands *ratelimit.Limiter
	port     settings

	mu      sync.Mutex // changed; no other lock is taken under it
	changed func()     // tells the driver of a new status; nil while there is none

	// The rest is for the calls that don't overlap, save what loops do.
	restored  *terms // of the driver that is to go on; nil: the next one begins
	loops     []*virtio.Loop
	receivers []*receiver
}

// New returns a device for c, with its link up.
func New(c Config) (*Device, error) {
	mac := c.MAC
	if mac == nil {
		mac = make([]byte, macSize)
		rand.Read(mac)            // never fails
		mac[0] = mac[0]&^1 | 1<<1 // unicast, locally administered
	}
	if err := checkMAC(mac); err != nil {
		return nil, err
	}
	// Section 5.1.4.1: a device that has an MTU has one of 68 or more.
	if c.MTU != 0 && c.MTU < 68 {
		return nil, fmt.Errorf("MTU of %d bytes: it is 68 or more", c.MTU)
	}
	d := &Device{c: c, pairs: min(c.Port.Wires(), maxPairs), commands: newCommandLimit(), port: settings{port: c.Port}}
	d.config = newConfig(mac, d.pairs, c.MTU)
	copy(d.source[:], mac)
	d.linkUp.Store(true)
	d.held.Store(c.Held)
	return d, nil
}

func checkMAC(mac []byte) error {
	if len(mac) != macSize {
		return fmt.Errorf("MAC address of %d bytes, want %d", len(mac), macSize)
	}
	if mac[0]&1 != 0 {
		return errors.New("MAC address is a multicast address")
	}
	return nil
}

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDNet }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	f := uint64(featureMAC | featureStatus | featureMergeable | featureControl | featureControlMAC | featureControlRX |
		featureCsum | featureHostTSO4 | featureHostTSO6 | featureHostECN | guestOffloads | featureControlOffloads)
	if d.pairs > 1 {
		f |= featureMultiQueue
	}
	if d.c.MTU != 0 {
		f |= featureMTU
	}
	return f
}

// QueueSizes implements virtio.Device: receive and transmit for each pair,
// then control.
func (d *Device) QueueSizes() []uint16 {
	var sizes []uint16
	for range d.pairs {
		sizes = append(sizes, queueSize, queueSize)
	}
	return append(sizes, controlSize)
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) { d.config.read(offset, data) }

// WriteConfig implements virtio.Device: nothing here is writable, the MAC
// address is set by way of the control queue.
func (d *Device) WriteConfig(uint64, []byte) {}

// Release ends Config.Held. It may be called from any goroutine.
func (d *Device) Release() { d.held.Store(false) }

// passes reports whether frames do; others are lost.
func (d *Device) passes() bool { return d.linkUp.Load() && !d.held.Load() }

// SetLink plugs the cable in or pulls it. It may be called from any goroutine.
func (d *Device) SetLink(up bool) {
	if d.linkUp.Swap(up) == up {
		return
	}
	d.config.setLink(up)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed != nil {
		d.changed()
	}
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.c.Port.Rearm()
	begin := terms{wires: 1, offloads: a.Features & guestOffloads}
	if d.restored != nil {
		begin = *d.restored
	}
	if err := d.port.start(begin, d.commands); err != nil {
		return err
	}
	d.restored = nil
	d.tellChanges(a.ConfigChanged)
	// Section 5.1.2: without VIRTIO_NET_F_MQ there is one pair, and the
	// control queue is the one behind it.
	pairs := 1
	if a.Features&featureMultiQueue != 0 {
		pairs = d.pairs
	}
	for i := range pairs {
		if q := a.Queues[2*i]; q != nil {
			r := newReceiver(d, i, q, a.Features)
			d.receivers = append(d.receivers, r)
			d.loops = append(d.loops, virtio.StartLoop(q, r.serve, a.Fail))
		}
		if q := a.Queues[2*i+1]; q != nil {
			s := newSender(d, i, q, a.Features)
			d.loops = append(d.loops, virtio.StartLoop(q, s.serve, a.Fail))
		}
	}
	if q := a.Queues[2*pairs]; q != nil && a.Features&featureControl != 0 {
		d.loops = append(d.loops, virtio.StartLoop(q, newControl(d, q, pairs, a.Features).serve, a.Fail))
	}
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.tellChanges(nil)
	d.c.Port.Interrupt()
	for _, l := range d.loops {
		l.Stop()
	}
	d.restored, d.loops, d.receivers = nil, nil, nil
}

// tellChanges has the driver told of a new status from now on, by way of changed.
func (d *Device) tellChanges(changed func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = changed
}
