package net_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// counter is a port that counts what it is told.
type counter struct {
	*nettest.Port
	told atomic.Int64
}

func (c *counter) Use(wires int) error {
	c.told.Add(1)
	return c.Port.Use(wires)
}

func (c *counter) SetOffloads(features uint64) error {
	c.told.Add(1)
	return c.Port.SetOffloads(features)
}

// TestStartsAreLimited has a driver start again and again: what the port knows
// it isn't told, and what it must be told it is told at the limit's pace.
func TestStartsAreLimited(t *testing.T) {
	p := &counter{Port: nettest.New(2)}
	dev, err := net.New(net.Config{Port: p})
	if err != nil {
		t.Fatal(err)
	}
	port := virtiotest.Plug(t, virtiotest.MMIO, dev, memory.NewHeap(memory.Range{Size: 1 << 20}), func(err error) { t.Error(err) })
	defer port.Close()
	start := func(features uint64) {
		port.Negotiate(features | virtio.FeatureVersion1)
		if port.Set(virtiotest.Status, virtiotest.Running); port.Get(virtiotest.Status) != virtiotest.Running {
			t.Fatalf("status %#x", port.Get(virtiotest.Status))
		}
	}
	for range 1000 {
		start(0)
	}
	if n := p.told.Load(); n != 2 {
		t.Errorf("told %d times of the same, want once each", n)
	}
	const burst, pace = 100, 50
	const starts = burst + 10
	began := time.Now()
	for i := range starts {
		start(uint64(guestCsum * (1 - i%2)))
	}
	if took, least := time.Since(began), (starts-burst-5)*time.Second/pace; took < least {
		t.Errorf("%d changes within %v, want %v at least", starts, took, least)
	}
}
