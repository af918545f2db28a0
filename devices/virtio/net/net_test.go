package net_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

const rx, tx = 0, 1

// wire is a Port whose other end is the test.
type wire struct {
	toGuest   chan []byte
	fromGuest chan []byte

	mu          sync.Mutex
	interrupted chan struct{}
}

func newWire() *wire {
	return &wire{toGuest: make(chan []byte, 16), fromGuest: make(chan []byte, 16), interrupted: make(chan struct{})}
}

func (w *wire) Receive(bufs [][]byte) (int, error) {
	w.mu.Lock()
	interrupted := w.interrupted
	w.mu.Unlock()
	select {
	case frame := <-w.toGuest:
		n := 0
		for _, b := range bufs {
			n += copy(b, frame[n:])
		}
		return n, nil
	case <-interrupted:
		return 0, os.ErrDeadlineExceeded
	}
}

func (w *wire) Send(bufs [][]byte) error {
	w.fromGuest <- bytes.Join(bufs, nil)
	return nil
}

func (w *wire) Interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.interrupted)
}

func (w *wire) Rearm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupted = make(chan struct{})
}

func start(t *testing.T) (*virtiotest.Harness, *wire) {
	t.Helper()
	w := newWire()
	dev, err := net.New(net.Config{Port: w, MAC: []byte{2, 0, 0, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	return virtiotest.Start(t, dev, virtiotest.Options{MaxQueueSize: 16}), w
}

func frame(payload string) []byte { return append(make([]byte, 12), payload...) }

func TestTransmit(t *testing.T) {
	h, w := start(t)
	f := frame("who has 10.0.0.1?")
	hostile := bytes.Clone(f)
	copy(hostile, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") // offloads nobody offered stay here
	h.Do(tx, h.Queues[tx].Out(hostile[:7]), h.Queues[tx].Out(hostile[7:]))
	if got := <-w.fromGuest; !bytes.Equal(got, f) {
		t.Errorf("the wire carried % x", got)
	}
	h.Do(tx, h.Queues[tx].Out(f[:7]), h.Queues[tx].Out(f[7:]))
	if got := <-w.fromGuest; !bytes.Equal(got, f) {
		t.Errorf("the wire carried % x", got)
	}
}

func TestReceive(t *testing.T) {
	h, w := start(t)
	d := h.Queues[rx]
	first, second := d.In(12), d.In(1514)
	d.Add(first, second)
	w.toGuest <- frame("me!")
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
	h, w := start(t)
	for i := range 3 {
		w.toGuest <- frame(strings.Repeat("x", i+1))
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
	h, _ := start(t)
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
		{"receive buffer too small", rx, func(d *vqtest.Driver) vqtest.Buffer { return d.In(1000) }},
		{"receive buffer not writable", rx, func(d *vqtest.Driver) vqtest.Buffer { return d.Out(make([]byte, 2000)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _ := start(t)
			h.Queues[tt.queue].Add(tt.buffer(h.Queues[tt.queue]))
			h.Kick(tt.queue)
			h.WaitFailure()
		})
	}
}

func TestHugeFrameIsDropped(t *testing.T) {
	h, w := start(t)
	h.Do(tx, h.Queues[tx].Out(make([]byte, 1<<17)))
	h.Do(tx, h.Queues[tx].Out(frame("next")))
	if got := <-w.fromGuest; !bytes.Equal(got, frame("next")) {
		t.Errorf("the wire carried %d bytes first", len(got))
	}
}

func TestMAC(t *testing.T) {
	h, _ := start(t)
	var got [8]byte
	h.Device.ReadConfig(0, got[:])
	if want := [8]byte{2, 0, 0, 0, 0, 1, 1, 0}; got != want {
		t.Errorf("configuration space is % x, want % x", got, want)
	}
	for _, mac := range [][]byte{{1, 2, 3, 4, 5, 6}, {2, 3}, {}} {
		if _, err := net.New(net.Config{MAC: mac}); err == nil {
			t.Errorf("MAC % x accepted", mac)
		}
	}
	d, err := net.New(net.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d.ReadConfig(0, got[:])
	if got[0]&3 != 2 {
		t.Errorf("made-up MAC % x is not a local unicast address", got[:6])
	}
}
