package virtqueue_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// batch is how many chains a driver makes available at once.
const batch = 64

// BenchmarkChain is what a queue costs a device per request of three
// descriptors, as a disk's: taking chains and giving them back, deciding about
// kicks and interrupts. The driver's own share is "driver".
func BenchmarkChain(b *testing.B) {
	for name, prepare := range map[string]func(*vqtest.Driver, ...vqtest.Buffer) uint16{
		"direct": (*vqtest.Driver).Prepare, "indirect": (*vqtest.Driver).PrepareIndirect,
	} {
		d, q := newPair(b, 256, eventIdx, indirect)
		var heads []uint16
		for range batch {
			heads = append(heads, prepare(d, d.Out(make([]byte, 16)), d.In(4096), d.In(1)))
		}
		b.Run(name+"/together/device", func(b *testing.B) { benchChains(b, d, q, heads) })
		b.Run(name+"/one by one/device", func(b *testing.B) { benchChains(b, d, q, heads[:1]) })
	}
	d, _ := newPair(b, 256)
	heads := make([]uint16, batch)
	b.Run("driver", func(b *testing.B) {
		inBatches(b, batch, func() { d.Again(heads) })
	})
}

// benchChains has a device serve the chains again and again.
func benchChains(b *testing.B, d *vqtest.Driver, q *virtqueue.Queue, heads []uint16) {
	var c virtqueue.Chain
	inBatches(b, len(heads), func() {
		d.Again(heads)
		for range heads {
			if ok, err := q.Pop(&c); !ok || err != nil {
				b.Fatal(ok, err)
			}
			q.Push(c.Head, 4097)
		}
		q.Publish()
		q.EnableKicks()
		if !d.AllBack() {
			b.Fatal("the driver hasn't got them back")
		}
	})
}

// inBatches times f, which serves n requests, per request.
func inBatches(b *testing.B, n int, f func()) {
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left == 0 {
			f()
			left = n
		}
	}
}
