package hostile

import (
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// serving are the queues whose chains come back at once, whatever they ask for:
// all but those that wait for something to tell the guest.
var serving = map[virtio.ID][]int{
	virtio.IDBalloon: {0, 1},
	virtio.IDBlock:   {0, 1},
	virtio.IDNet:     {1, 3, 4},
	virtio.IDRNG:     {0},
	virtio.IDVsock:   {1},
}

// mustServe makes a request of 64 zero bytes, with room for as many in the
// answer, on each of the device's serving queues. The queues are empty.
func (g *guest) mustServe() {
	g.t.Helper()
	for _, q := range serving[g.Device().ID()] {
		clear(g.bytes(g.buffer(q), 128))
		pair(g, q, 0, write)
		g.mustUse(q, 1)
	}
}

// mustUse waits until the queue's used index is n.
func (g *guest) mustUse(q int, n uint16) {
	g.t.Helper()
	used := g.bytes(uint64(q*queueArea+usedArea), 4)
	for start := time.Now(); memory.Load16(used, 2) != n; time.Sleep(20 * time.Microsecond) {
		if time.Since(start) > 10*time.Second {
			g.t.Fatalf("queue %d gave back %d chains, want %d; status %#x, evidence %v",
				q, memory.Load16(used, 2), n, g.Get(virtiotest.Status), g.evidence)
		}
	}
}
