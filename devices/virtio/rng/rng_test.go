package rng_test

import (
	"bytes"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

func TestFill(t *testing.T) {
	h := virtiotest.Start(t, rng.New(rng.Config{}), virtiotest.Options{})
	d := h.Queues[0]
	a, b := d.In(64), d.In(64)
	if n := h.Do(0, a, b); n != 128 {
		t.Errorf("device wrote %d bytes, want 128", n)
	}
	if bytes.Equal(d.Bytes(a), d.Bytes(b)) || bytes.Equal(d.Bytes(a), make([]byte, 64)) {
		t.Error("not random")
	}
}

func TestRequestIsBounded(t *testing.T) {
	h := virtiotest.Start(t, rng.New(rng.Config{}), virtiotest.Options{})
	if n := h.Do(0, h.Queues[0].In(1<<20)); n != 4096 {
		t.Errorf("device wrote %d bytes, want 4096", n)
	}
}

func TestNothingWritable(t *testing.T) {
	h := virtiotest.Start(t, rng.New(rng.Config{}), virtiotest.Options{})
	h.Queues[0].Add(h.Queues[0].Out([]byte("x")))
	h.Kick(0)
	h.WaitFailure()
}
