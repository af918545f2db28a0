package rng_test

import (
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// TestRestore has requests that are held back answered by the device that goes on.
func TestRestore(t *testing.T) {
	limit := ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1, Burst: 1}})
	h := virtiotest.Start(t, rng.New(rng.Config{Limit: limit}), virtiotest.Options{Transport: virtiotest.MMIO})
	d := h.Queues[0]
	const n = 4
	left := n
	for range n {
		d.Add(d.In(64))
	}
	h.Kick(0)
	time.Sleep(10 * time.Millisecond)
	h.Suspend()
	for _, _, ok := d.Used(); ok; _, _, ok = d.Used() {
		left--
	}
	if left == 0 {
		t.Fatal("no request was held back")
	}
	h.Restore(rng.New(rng.Config{}), h.Save())
	for range left {
		if _, n := h.WaitUsed(0); n != 64 {
			t.Errorf("%d bytes", n)
		}
	}
}

// TestSuspendAndResume has the same device go on, again and again.
func TestSuspendAndResume(t *testing.T) {
	h := virtiotest.Start(t, rng.New(rng.Config{}), virtiotest.Options{Transport: virtiotest.MMIO})
	for range 100 {
		h.Suspend()
		head := h.Queues[0].Add(h.Queues[0].In(16))
		h.Kick(0)
		if _, _, ok := h.Queues[0].Used(); ok {
			t.Fatal("a device that rests gave something back")
		}
		h.Resume()
		if back, _ := h.WaitUsed(0); back != head {
			t.Fatalf("chain %d, want %d", back, head)
		}
	}
}
