package net_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

const rx, tx = 0, 1

// start runs a device of one wire whose driver accepted features.
func start(t testing.TB, features uint64) (*virtiotest.Harness, *nettest.Port) {
	t.Helper()
	return startWires(t, 1, features, 16)
}

func startWires(t testing.TB, wires int, features uint64, queueSize uint16) (*virtiotest.Harness, *nettest.Port) {
	t.Helper()
	p := nettest.New(wires)
	dev, err := net.New(net.Config{Port: p, MAC: []byte{2, 0, 0, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	return virtiotest.Start(t, dev, virtiotest.Options{Features: features, MaxQueueSize: queueSize}), p
}

func frame(payload string) []byte { return append(make([]byte, 12), payload...) }

func TestTransmit(t *testing.T) {
	h, w := start(t, 0)
	f := frame("who has 10.0.0.1?")
	h.Do(tx, h.Queues[tx].Out(f[:7]), h.Queues[tx].Out(f[7:]))
	if got := <-w.FromGuest(0); !bytes.Equal(got, f) {
		t.Errorf("the wire carried % x", got)
	}
}

func TestReceive(t *testing.T) {
	h, w := start(t, 0)
	d := h.Queues[rx]
	first, second := d.In(12), d.In(1514)
	d.Add(first, second)
	w.ToGuest(0) <- frame("me!")
	h.Kick(rx)
	if _, n := h.WaitUsed(rx); n != 15 {
		t.Fatalf("device wrote %d bytes, want 15", n)
	}
	if n := binary.LittleEndian.Uint16(d.Bytes(first)[10:]); n != 1 {
		t.Errorf("num_buffers is %d, want 1", n)
	}
	if got := string(d.Bytes(second)[:3]); got != "me!" {
		t.Errorf("guest got %q", got)
	}
}

// TestFramesWaitForBuffers sends before the guest is ready to receive.
func TestFramesWaitForBuffers(t *testing.T) {
	h, w := start(t, 0)
	for i := range 3 {
		w.ToGuest(0) <- frame(strings.Repeat("x", i+1))
	}
	for i := range 3 {
		h.Queues[rx].Add(h.Queues[rx].In(2048))
		h.Kick(rx)
		if _, n := h.WaitUsed(rx); n != uint32(13+i) {
			t.Errorf("frame %d has %d bytes", i, n)
		}
	}
}

func TestResetWhileWaiting(t *testing.T) {
	h, _ := start(t, 0)
	h.Queues[rx].Add(h.Queues[rx].In(2048))
	h.Kick(rx)
	h.Reset() // must return
	if len(h.Failures()) > 0 {
		t.Errorf("failures: %v", h.Failures())
	}
}

func TestMalformed(t *testing.T) {
	tests := []struct {
		name   string
		queue  int
		buffer func(d *vqtest.Driver) vqtest.Buffer
	}{
		{"frame without a header", tx, func(d *vqtest.Driver) vqtest.Buffer { return d.Out(make([]byte, 11)) }},
		{"offloads nobody negotiated", tx, func(d *vqtest.Driver) vqtest.Buffer {
			return d.Out(append(bytes.Repeat([]byte{0xff}, 12), make([]byte, 100)...))
		}},
		{"receive buffer too small", rx, func(d *vqtest.Driver) vqtest.Buffer { return d.In(1000) }},
		{"receive buffer not writable", rx, func(d *vqtest.Driver) vqtest.Buffer { return d.Out(make([]byte, 2000)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := start(t, 0)
			h.Queues[tt.queue].Add(tt.buffer(h.Queues[tt.queue]))
			h.Kick(tt.queue)
			h.WaitFailure()
		})
	}
}

func TestHugeFrameIsDropped(t *testing.T) {
	h, w := start(t, 0)
	h.Do(tx, h.Queues[tx].Out(make([]byte, 1<<17)))
	h.Do(tx, h.Queues[tx].Out(frame("next")))
	if got := <-w.FromGuest(0); !bytes.Equal(got, frame("next")) {
		t.Errorf("the wire carried %d bytes first", len(got))
	}
}

func TestMAC(t *testing.T) {
	h, _ := start(t, 0)
	var got [12]byte
	h.Device.ReadConfig(0, got[:])
	if want := [12]byte{2, 0, 0, 0, 0, 1, 1, 0, 1}; got != want {
		t.Errorf("configuration space is % x, want % x", got, want)
	}
	for _, mac := range [][]byte{{1, 2, 3, 4, 5, 6}, {2, 3}, {}} {
		if _, err := net.New(net.Config{Port: nettest.New(1), MAC: mac}); err == nil {
			t.Errorf("MAC % x accepted", mac)
		}
	}
	d, err := net.New(net.Config{Port: nettest.New(1)})
	if err != nil {
		t.Fatal(err)
	}
	d.ReadConfig(0, got[:])
	if got[0]&3 != 2 {
		t.Errorf("made-up MAC % x is not a local unicast address", got[:6])
	}
}
