package virtio

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// BenchmarkCounters takes chains and gives them back, counted and not.
func BenchmarkCounters(b *testing.B) {
	b.Run("counted", func(b *testing.B) { benchCounters(b, new(Counters)) })
	b.Run("not counted", func(b *testing.B) { benchCounters(b, nil) })
}

func benchCounters(b *testing.B, counters *Counters) {
	driver := vqtest.New(b, vqtest.NewHeap(b, 1<<20), 64)
	queue, err := virtqueue.New(driver.Mem, driver.Config)
	if err != nil {
		b.Fatal(err)
	}
	q := &Queue{Queue: queue, Interrupt: func() {}, Counters: counters}
	var heads []uint16
	for range 16 {
		heads = append(heads, driver.Prepare(driver.Out(make([]byte, 16)), driver.In(4096), driver.In(1)))
	}
	var chain virtqueue.Chain
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left == 0 {
			q.Flush()
			driver.AllBack()
			driver.Again(heads)
			left = len(heads)
		}
		if ok, err := q.Pop(&chain); !ok || err != nil {
			b.Fatal(ok, err)
		}
		q.Push(chain.Head, 4097)
	}
}
