package balloon_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// BenchmarkInflate puts lists of 256 pages, as Linux makes them, into the
// balloon, beside the host's system calls alone. The pages are in use before.
func BenchmarkInflate(b *testing.B) {
	const lists, pages, pageSize = 16, 256, 4096
	for name, step := range map[string]int{"neighbours": 1, "scattered": 2} {
		h := virtiotest.Start(b, balloon.New(), virtiotest.Options{Memory: 64 << 20, Mapped: true})
		d := h.Queues[inflate]
		var heads []uint16
		var used, apart [][]byte // pages, and what the host can be given at once
		for range lists {
			area := vqtest.Buffer{GPA: h.Heap.Alloc(step*pages*pageSize, pageSize), Len: uint32(step * pages * pageSize)}
			var offsets []uint32
			for i := range pages {
				offsets = append(offsets, uint32(step*i))
				used = append(used, d.Bytes(area)[step*i*pageSize:][:pageSize])
			}
			if step == 1 {
				apart = append(apart, d.Bytes(area))
			}
			heads = append(heads, d.Prepare(d.Out(numbers(uint32(area.GPA/pageSize), offsets...))))
		}
		if step > 1 {
			apart = used
		}
		run := func(b *testing.B, release func()) {
			virtiotest.Bench(b, lists, pages*pageSize, func() {
				b.StopTimer()
				for _, page := range used {
					page[0] = 1
				}
				b.StartTimer()
				release()
			})
		}
		b.Run(name+"/device", func(b *testing.B) { run(b, func() { h.Round(inflate, heads) }) })
		b.Run(name+"/system calls", func(b *testing.B) {
			run(b, func() {
				for _, part := range apart {
					h.Heap.Mem.Release(part)
				}
			})
		})
	}
}
