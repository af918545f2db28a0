package pci_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// TestMove has a driver use a device that is replaced under it time and again:
// between requests, with one that nobody has told the device of, and with some
// that a rate limit holds back. All come back, and by the queue's own interrupt.
func TestMove(t *testing.T) {
	limit := ratelimit.New(ratelimit.Config{})
	newDevice := func() *rng.Device { return rng.New(rng.Config{Limit: limit}) }
	h := virtiotest.Start(t, newDevice(), virtiotest.Options{Transport: virtiotest.PCI})
	q := h.Queues[0]
	doorbells := h.Port().Board.Doorbells()
	for range 10 {
		b := q.In(32)
		if n := h.Do(0, b); n != 32 || bytes.Equal(q.Bytes(b), make([]byte, 32)) {
			t.Fatalf("%d bytes: % x", n, q.Bytes(b))
		}

		want := []uint16{q.Add(q.In(32))} // and no kick
		h.Move(newDevice())
		limit.Set(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 1}})
		for range 3 {
			want = append(want, q.Add(q.In(32)))
		}
		h.Kick(0)
		h.Move(newDevice())
		limit.Set(ratelimit.Config{})
		var got []uint16
		for range want {
			head, _ := h.WaitUsed(0)
			got = append(got, head)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("chains %d came back, want %d", got, want)
		}

		board := h.Port().Board
		if sent := board.Vectors[1].Sent(); len(sent) == 0 || sent[0].Data != 1 {
			t.Fatalf("the queue's vector sent %v", sent)
		}
		if now := board.Doorbells(); !slices.Equal(now, doorbells) {
			t.Fatalf("doorbells at %#x, were at %#x", now, doorbells)
		}
	}
	if f := h.Failures(); len(f) > 0 {
		t.Error(f)
	}
}
