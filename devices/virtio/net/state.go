package net

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Suspend implements virtio.Device. Frames wait at the port, as many as it holds.
func (d *Device) Suspend() {
	d.c.Port.Interrupt()
	for _, l := range d.loops {
		l.Pause()
	}
	for _, r := range d.receivers {
		r.putBack()
	}
}

// Resume implements virtio.Device.
func (d *Device) Resume() {
	d.c.Port.Rearm()
	for _, l := range d.loops {
		l.Resume()
	}
}

// Save implements virtio.Device.
func (d *Device) Save(s *statev1.Device) {
	t := d.terms()
	s.Kind = &statev1.Device_Net{Net: &statev1.Net{
		Mac: d.config.mac(), LinkUp: d.linkUp.Load(), Mtu: uint32(d.c.MTU),
		Pairs: uint32(t.wires), Offloads: t.offloads,
	}}
}

// terms returns the driver's, none while there is no driver.
func (d *Device) terms() terms {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.restored != nil:
		return *d.restored
	case d.changed != nil:
		return d.port.agreed
	}
	return terms{}
}

// Restore implements virtio.Device. The link is as it was, and so is the address
// if this device's was made up. One that was given stays: the guest finds it in
// the configuration space, and goes on with its own until it is told to look.
func (d *Device) Restore(s *statev1.Device) error {
	n := s.GetNet()
	if n == nil {
		return &virtio.StateError{What: "it has no network interface"}
	}
	if err := checkMAC(n.GetMac()); err != nil {
		return &virtio.StateError{What: err.Error() + ": the state is damaged, take another snapshot"}
	}
	if virtio.Status(s.GetStatus())&virtio.StatusDriverOK != 0 {
		if err := d.checkDriver(s.GetFeatures(), n); err != nil {
			return err
		}
		d.restored = &terms{wires: int(n.GetPairs()), offloads: n.GetOffloads()}
	}
	if d.c.MAC == nil {
		d.config.setMAC(n.GetMac())
		copy(d.source[:], n.GetMac())
	}
	d.linkUp.Store(n.GetLinkUp())
	d.config.setLink(n.GetLinkUp())
	return nil
}

// checkDriver says why a driver with the features can't go on with this device.
func (d *Device) checkDriver(features uint64, n *statev1.Net) error {
	most := 1
	if features&featureMultiQueue != 0 {
		most = d.pairs
	}
	wrong := func(format string, args ...any) error {
		return &virtio.StateError{What: fmt.Sprintf(format, args...)}
	}
	switch pairs := n.GetPairs(); {
	case pairs == 0, pairs > maxPairs:
		return wrong("its driver uses %d pairs of queues: the state is damaged, take another snapshot", pairs)
	case int(pairs) > most:
		return wrong("its driver uses %d pairs of queues, and may use %d here: give it a host's interface with as many queues", pairs, most)
	}
	if bad := n.GetOffloads() &^ (features & guestOffloads); bad != 0 {
		return wrong("its driver uses offloads %#x that it didn't accept: the state is damaged, take another snapshot", bad)
	}
	// A smaller one only costs frames. Buffers for a larger one the driver may
	// not have.
	if features&featureMTU != 0 && uint32(d.c.MTU) > n.GetMtu() {
		return wrong("its driver has an MTU of %d, the host's interface one of %d: set it to %d (ip link set NAME mtu %d)",
			n.GetMtu(), d.c.MTU, n.GetMtu(), n.GetMtu())
	}
	return nil
}
