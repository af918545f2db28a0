package virtqueue_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// BenchmarkChain is what a queue costs a device per request: take a chain of
// three descriptors, give it back, decide about the interrupt.
func BenchmarkChain(b *testing.B) {
	d, q := newPair(b, 256, eventIdx)
	d.Add(d.Out(make([]byte, 16)), d.In(4096), d.In(1))
	var c virtqueue.Chain
	b.ReportAllocs()
	for i := uint16(1); b.Loop(); i++ {
		if ok, err := q.Pop(&c); !ok || err != nil {
			b.Fatal(ok, err)
		}
		q.Push(c.Head, 4097)
		q.Publish()
		q.EnableKicks()
		q.Undo() // the driver would have to add it again
	}
}
