package virtqueue_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// batch is how many chains a driver makes available at once.
const batch = 64

// BenchmarkChain is what a queue costs a device per request of three
// descriptors, as a disk's: taking chains and giving them back, deciding about
// kicks and interrupts. "driver" is the driver's own share.
func BenchmarkChain(b *testing.B) {
	for name, prepare := range map[string]func(*vqtest.Driver, ...vqtest.Buffer) uint16{
		"direct": (*vqtest.Driver).Prepare, "indirect": (*vqtest.Driver).PrepareIndirect,
	} {
		d, q := newPair(b, 256, eventIdx, indirect)
		var heads []uint16
		for range batch {
			heads = append(heads, prepare(d, d.Out(make([]byte, 16)), d.In(4096), d.In(1)))
		}
		for together, n := range map[string]int{"/together": batch, "/one by one": 1} {
			b.Run(name+together+"/device", func(b *testing.B) { benchChains(b, d, q, heads[:n]) })
			b.Run(name+together+"/driver", func(b *testing.B) {
				d, _ := newPair(b, 256)
				virtiotest.Bench(b, n, 0, func() { d.Again(heads[:n]) })
			})
		}
	}
}

// benchChains has a device serve the chains again and again.
func benchChains(b *testing.B, d *vqtest.Driver, q *virtqueue.Queue, heads []uint16) {
	var c virtqueue.Chain
	virtiotest.Bench(b, len(heads), 0, func() {
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
