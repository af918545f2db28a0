package hostile

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestKVMFlicker has one processor change a request, back and forth, while the
// device reads it for the other: its descriptors, its header, its length. Each
// time it is served, or the device asks for a reset.
func TestKVMFlicker(t *testing.T) {
	s := newScene(t, devices["blk"](t), 2)
	second, d := s.Second(), s.victim
	q := d.queues[0]
	header, data, status := q.Out(make([]byte, 16)), q.In(4096), q.In(1)
	q.SetDesc(0, uint64(header.GPA), 16, next, 1)
	q.SetDesc(1, uint64(data.GPA), 4096, next|write, 2)
	q.SetDesc(2, uint64(status.GPA), 1, write, 0)
	desc := uint64(q.Config.Desc) + 16 // the second one
	end := second.Forever(func() {
		for _, c := range []struct {
			at        uint64
			width     int
			good, bad uint64
		}{
			{desc, 8, uint64(data.GPA), kvmHole - 32},
			{desc, 8, uint64(data.GPA), ^uint64(0)},
			{desc + 8, 4, 4096, 0xffffffff},
			{desc + 12, 2, next | write, next},             // the direction
			{desc + 12, 4, 2<<16 | next | write, next},     // back to the first
			{desc + 12, 4, 2<<16 | next | write, indirect}, // a table
			{uint64(header.GPA), 4, 0, 1},                  // the type
			{uint64(header.GPA) + 8, 8, 0, 1 << 55},        // the sector
			{uint64(q.Config.Avail) + 4, 2, 0, 0xffff},     // the head
		} {
			second.Write(c.at, c.width, c.bad)
			second.Write(c.at, c.width, c.good)
		}
	})
	served, breaches := 0, 0
	for range 300 {
		d.negotiate()
		clear(s.heap.Bytes(q.Config.Used, 4))
		memory.Store16(s.heap.Bytes(q.Config.Avail, 4), 2, 1)
		d.place(0, q.Config)
		d.set(regStatus, virtiotest.Running)
		d.kick(0)
		for {
			if memory.Load16(s.heap.Bytes(q.Config.Used, 4), 2) == 1 {
				served++
				break
			}
			if d.get(regStatus)&virtiotest.NeedsReset != 0 {
				breaches++
				break
			}
		}
	}
	end()
	t.Logf("served %d times, refused %d times", served, breaches)
	if served == 0 || breaches == 0 {
		t.Error("there was no race")
	}
	s.mustWork(breaches)
}
