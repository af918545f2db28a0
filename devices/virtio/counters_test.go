package virtio_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestCounts has a device do requests in three lives, the last of which a breach
// ends, while somebody reads the counters all the time.
func TestCounts(t *testing.T) {
	for _, transport := range virtiotest.Transports() {
		heap := vqtest.NewHeap(t, 1<<20)
		p := virtiotest.Plug(t, transport, rng.New(rng.Config{}), heap.Mem, func(error) {})
		var done atomic.Bool
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for last := p.Counts(); !done.Load(); {
				now := p.Counts()
				if now.Requests < last.Requests || now.ToGuest < last.ToGuest {
					t.Errorf("%s: %+v after %+v", transport, now, last)
					return
				}
				last = now
			}
		}()
		const lives, requests = 3, 5
		for range lives {
			serve(t, p, heap, requests)
		}
		p.Fail(errors.New("a breach"))
		p.Fail(errors.New("another that nobody hears of"))
		p.Set(virtiotest.Status, 0)
		done.Store(true)
		<-watched
		want := virtio.Counts{Requests: lives * requests, FromGuest: lives * requests * 3, ToGuest: lives * requests * 20, Breaches: 1}
		if got := p.Counts(); got != want {
			t.Errorf("%s: %+v, want %+v", transport, got, want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if got := p.Counts(); got != want {
			t.Errorf("%s: %+v once closed, want %+v", transport, got, want)
		}
	}
}

// serve starts the device and has it do requests of 3 bytes to read and 20 to
// write.
func serve(t *testing.T, p *virtiotest.Port, heap *vqtest.Heap, n int) {
	t.Helper()
	d := vqtest.New(t, heap, 8)
	p.Negotiate(virtio.FeatureVersion1)
	p.Place(0, d.Config.Size, d.Config.Desc, d.Config.Avail, d.Config.Used)
	p.Set(virtiotest.QueueReady, 1)
	p.Set(virtiotest.Status, virtiotest.Running)
	for range n {
		d.Add(d.Out(make([]byte, 3)), d.In(20))
		p.Notify(0)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Microsecond) {
			if _, _, ok := d.Used(); ok {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the device gave nothing back")
			}
		}
	}
}
