package net_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const allOfControl = controlQueue | controlRX | controlMAC | multiQueue | controlOffloads | guestCsum | guestTSO4

// startState runs a device behind a transport, without which there is no state.
func startState(t testing.TB, c net.Config, features uint64) *virtiotest.Harness {
	t.Helper()
	return virtiotest.Start(t, newDevice(t, c), virtiotest.Options{Features: features, MaxQueueSize: 16, Transport: virtiotest.MMIO})
}

// TestRestoreTellsThePort has a driver that uses two of four pairs, and not all
// offloads, go on at another port, which hears of both once. The next driver
// begins as every driver does.
func TestRestoreTellsThePort(t *testing.T) {
	p := nettest.New(4)
	h := startState(t, net.Config{Port: p}, allOfControl)
	if command(h, 8, 4, 0, 2, 0) != 0 || command(h, 8, 5, 0, guestCsum, 0, 0, 0, 0, 0, 0, 0) != 0 {
		t.Fatal("commands refused")
	}
	h.Suspend()
	m := h.Save()
	next := &counter{Port: nettest.New(4)}
	h.Restore(newDevice(t, net.Config{Port: next}), m)
	if next.Used() != 2 || next.Offloads() != guestCsum || next.told.Load() != 2 {
		t.Errorf("port told %d times: %d wires, offloads %#x", next.told.Load(), next.Used(), next.Offloads())
	}
	if command(h, 8, 4, 0, 3, 0) != 0 || next.Used() != 3 {
		t.Error("more pairs refused")
	}
	h.Suspend()
	if got := h.Save().GetDevices()[0].GetNet(); got.GetPairs() != 3 || got.GetOffloads() != guestCsum {
		t.Errorf("saved again: %v", got)
	}
	h.Port().Negotiate(virtio.FeatureVersion1 | guestTSO4)
	if h.Port().Set(virtiotest.Status, virtiotest.Running); next.Used() != 1 || next.Offloads() != guestTSO4 {
		t.Errorf("the next driver has %d wires, offloads %#x", next.Used(), next.Offloads())
	}
}

// TestSavedBeforeItBegan restores a device that was saved before anything went on
// in it, and one whose driver had only negotiated: there is nothing to tell a port.
func TestSavedBeforeItBegan(t *testing.T) {
	plug := func(dev virtio.Device) *virtiotest.Port {
		p := virtiotest.Plug(t, virtiotest.MMIO, dev, memory.NewHeap(memory.Range{Size: 1 << 20}), func(err error) { t.Error(err) })
		t.Cleanup(func() { p.Close() })
		return p
	}
	first := plug(newDevice(t, net.Config{Port: nettest.New(2)}))
	first.Negotiate(virtio.FeatureVersion1 | guestCsum)
	state := first.Machine(t).GetDevices()[0]
	second := plug(newDevice(t, net.Config{Port: nettest.New(2)}))
	if err := second.Restore(state); err != nil {
		t.Fatal(err)
	}
	if err := second.Resume(); err != nil {
		t.Fatal(err)
	}
	p := nettest.New(2)
	third := plug(newDevice(t, net.Config{Port: p}))
	if err := third.Restore(second.Machine(t).GetDevices()[0]); err != nil {
		t.Fatal(err)
	}
	third.Set(virtiotest.Status, virtiotest.Running)
	if third.Get(virtiotest.Status) != virtiotest.Running || p.Used() != 1 || p.Offloads() != guestCsum {
		t.Errorf("status %#x, %d wires, offloads %#x", third.Get(virtiotest.Status), p.Used(), p.Offloads())
	}
}

// TestRestoredAgain saves a device that was restored and not resumed.
func TestRestoredAgain(t *testing.T) {
	h := startState(t, net.Config{Port: nettest.New(4)}, allOfControl)
	command(h, 8, 4, 0, 4, 0)
	h.Suspend()
	m := h.Save()
	dev := newDevice(t, net.Config{Port: nettest.New(4)})
	port := virtiotest.PlugRestored(t, virtiotest.MMIO, dev, h.Heap.Mem, func(error) {}, m)
	defer port.Close()
	p := nettest.New(4)
	h.Restore(newDevice(t, net.Config{Port: p}), port.Machine(t))
	if p.Used() != 4 || p.Offloads() != guestCsum|guestTSO4 {
		t.Errorf("%d wires, offloads %#x", p.Used(), p.Offloads())
	}
	dev.Reset() // never activated
	dev.Reset()
}

func TestRestoreAddressAndLink(t *testing.T) {
	mac := func(d virtio.Device) []byte {
		var b [8]byte
		d.ReadConfig(0, b[:])
		return b[:]
	}
	own := []byte{2, 9, 9, 9, 9, 9}
	for _, up := range []byte{0, 1} {
		h := startState(t, net.Config{Port: nettest.New(1)}, allOfControl)
		if command(h, 2, 1, 1, 2, 7, 7, 7, 7, 7) != 0 {
			t.Error("address refused")
		}
		h.Device.(*net.Device).SetLink(up == 1)
		was := mac(h.Device)
		h.Suspend()
		m := h.Save()
		h.Restore(newDevice(t, net.Config{Port: nettest.New(1)}), m)
		if got := mac(h.Device); !bytes.Equal(got, was) || got[6] != up {
			t.Errorf("address and status % x, were % x", got, was)
		}
		h.Suspend()
		h.Restore(newDevice(t, net.Config{Port: nettest.New(1), MAC: own}), m)
		if got := mac(h.Device); !bytes.Equal(got[:6], own) || got[6] != up {
			t.Errorf("address and status % x of a device with one of its own", got)
		}
		if h.ConfigChanges() == 0 {
			t.Error("the driver isn't told")
		}
	}
}

// TestRestoreRefuses has states that no driver can go on from, most of them
// forged.
func TestRestoreRefuses(t *testing.T) {
	h := startState(t, net.Config{Port: nettest.New(4), MTU: 4000}, allOfControl|mtu)
	h.Suspend()
	for _, tt := range []struct {
		name   string
		change func(*statev1.Device, *statev1.Net)
		config net.Config
		ok     bool
	}{
		{name: "as it is", change: func(*statev1.Device, *statev1.Net) {}, ok: true},
		{name: "nothing", change: func(d *statev1.Device, _ *statev1.Net) { d.Kind = nil }},
		{name: "another device", change: func(d *statev1.Device, _ *statev1.Net) { d.Kind = &statev1.Device_Block{} }},
		{name: "no address", change: func(_ *statev1.Device, n *statev1.Net) { n.Mac = nil }},
		{name: "long address", change: func(_ *statev1.Device, n *statev1.Net) { n.Mac = make([]byte, 7) }},
		{name: "multicast address", change: func(_ *statev1.Device, n *statev1.Net) { n.Mac[0] = 1 }},
		{name: "all pairs", change: func(_ *statev1.Device, n *statev1.Net) { n.Pairs = 4 }, ok: true},
		{name: "no pairs", change: func(_ *statev1.Device, n *statev1.Net) { n.Pairs = 0 }},
		{name: "a pair too many", change: func(_ *statev1.Device, n *statev1.Net) { n.Pairs = 5 }},
		{name: "countless pairs", change: func(_ *statev1.Device, n *statev1.Net) { n.Pairs = 1<<32 - 1 }},
		{name: "two pairs of one", change: func(d *statev1.Device, n *statev1.Net) { n.Pairs, d.Features = 2, d.Features&^multiQueue }},
		{name: "no driver, no pairs", change: func(d *statev1.Device, n *statev1.Net) { n.Pairs, d.Status = 0, virtiotest.Negotiated }, ok: true},
		{name: "unknown offload", change: func(_ *statev1.Device, n *statev1.Net) { n.Offloads |= 1 << 63 }},
		{name: "offload of the other way", change: func(_ *statev1.Device, n *statev1.Net) { n.Offloads |= hostTSO4 }},
		{name: "offload not accepted", change: func(_ *statev1.Device, n *statev1.Net) { n.Offloads |= 1 << 8 }},
		{name: "fewer queues here", change: func(*statev1.Device, *statev1.Net) {}, config: net.Config{Port: nettest.New(2), MTU: 4000}},
		{name: "smaller MTU here", change: func(*statev1.Device, *statev1.Net) {}, config: net.Config{Port: nettest.New(4), MTU: 1400}, ok: true},
		{name: "larger MTU here", change: func(*statev1.Device, *statev1.Net) {}, config: net.Config{Port: nettest.New(4), MTU: 4001}},
		{name: "larger MTU, which the driver ignores", change: func(d *statev1.Device, _ *statev1.Net) { d.Features &^= mtu },
			config: net.Config{Port: nettest.New(4), MTU: 9000}, ok: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := h.Save().GetDevices()[0]
			tt.change(s, s.GetNet())
			c := tt.config
			if c.Port == nil {
				c = net.Config{Port: nettest.New(4), MTU: 4000}
			}
			p := virtiotest.Plug(t, virtiotest.MMIO, newDevice(t, c), h.Heap.Mem, func(err error) { t.Error(err) })
			defer p.Close()
			err := p.Restore(s)
			var refused *virtio.StateError
			if tt.ok && err != nil || !tt.ok && !errors.As(err, &refused) {
				t.Errorf("Restore: %v", err)
			}
		})
	}
}

// TestJumboFramesUnknown has a driver that doesn't look at the MTU and makes
// buffers for ordinary frames, on a device where larger ones may come: it gets the
// others.
func TestJumboFramesUnknown(t *testing.T) {
	p := nettest.New(1)
	h := startState(t, net.Config{Port: p, MTU: 9000}, 0)
	d := h.Queues[rx]
	b := d.In(1526)
	d.Add(b)
	h.Kick(rx)
	p.ToGuest(0) <- make([]byte, 9000)
	p.ToGuest(0) <- frame("ordinary")
	if _, n := h.WaitUsed(rx); string(d.Bytes(b)[12:n]) != "ordinary" {
		t.Errorf("guest got %d bytes", n)
	}
}

// TestSuspendAtRest suspends a device in which nothing goes on, again and again,
// and resets it in the end without another Resume.
func TestSuspendAtRest(t *testing.T) {
	p := nettest.New(1)
	h := startState(t, net.Config{Port: p}, mergeable)
	h.Queues[rx].Add(h.Queues[rx].In(100)) // too small for any, so that it is held
	h.Kick(rx)
	for i := range 100 {
		h.Suspend()
		checkPositions(t, h, h.Save().GetDevices()[0])
		h.Device.(*net.Device).SetLink(i%2 == 1)
		h.Resume()
	}
	b := h.Queues[rx].In(1600)
	h.Queues[rx].Add(b)
	h.Kick(rx)
	p.ToGuest(0) <- frame("hello")
	h.WaitUsed(rx)
	h.Suspend()
	p.ToGuest(0) <- frame("lost")
	time.Sleep(time.Millisecond)
	h.Reset()
	if f := h.Failures(); len(f) > 0 {
		t.Error(f)
	}
}

// TestSuspendedCommand suspends the device while a command waits for its turn: it
// is carried out later, and once.
func TestSuspendedCommand(t *testing.T) {
	p := &counter{Port: nettest.New(2)}
	c := net.Config{Port: p}
	h := startState(t, c, allOfControl)
	const queue, burst = 4, 100
	for i := range burst {
		command(h, queue, 4, 0, byte(1+i%2), 0)
	}
	for i := range 20 {
		told := p.told.Load()
		d := h.Queues[queue]
		ack := d.In(1)
		d.Bytes(ack)[0] = 0xff
		head := d.Add(d.Out([]byte{4, 0, byte(1 + i%2), 0}), ack)
		h.Kick(queue)
		for range 3 {
			h.Suspend()
			m := h.Save()
			checkPositions(t, h, m.GetDevices()[0])
			if i%10 == 0 {
				h.Restore(newDevice(t, c), m)
				continue
			}
			h.Resume()
		}
		got, _ := h.WaitUsed(queue)
		if got != head || d.Bytes(ack)[0] != 0 || p.Used() != 1+i%2 {
			t.Fatalf("command %d: chain %d, answer %d, %d wires", i, got, d.Bytes(ack)[0], p.Used())
		}
		if n := p.told.Load() - told; i%10 != 0 && n != 1 {
			t.Errorf("command %d: the port was told %d times", i, n)
		}
	}
}

// TestHeld has nothing pass either way until the device is released.
func TestHeld(t *testing.T) {
	p := nettest.New(1)
	h := startState(t, net.Config{Port: p, Held: true}, 0)
	b := h.Queues[rx].In(1600)
	h.Queues[rx].Add(b)
	h.Kick(rx)
	p.ToGuest(0) <- frame("for another")
	h.Do(tx, h.Queues[tx].Out(frame("from another"))) // given back, and lost
	for len(p.ToGuest(0)) > 0 {
		time.Sleep(time.Millisecond)
	}
	h.Suspend() // when the device is done with what it took
	h.Resume()
	h.Device.(*net.Device).Release()
	h.Do(tx, h.Queues[tx].Out(frame("from me")))
	if got := <-p.FromGuest(0); !bytes.Equal(got, frame("from me")) {
		t.Errorf("the wire carried %q", got)
	}
	p.ToGuest(0) <- frame("for me")
	if _, n := h.WaitUsed(rx); string(h.Queues[rx].Bytes(b)[12:n]) != "for me" {
		t.Errorf("the guest got %q", h.Queues[rx].Bytes(b)[12:n])
	}
}
