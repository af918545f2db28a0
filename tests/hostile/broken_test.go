package hostile

import (
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestBrokenDeviceRests breaks a rule and then makes requests that a device
// carries out at once: one that needs a reset carries out nothing, whichever
// queue the rule was broken on, or none.
func TestBrokenDeviceRests(t *testing.T) {
	breaches := map[string]func(g *guest, q int){
		"by a register":    func(g *guest, _ int) { g.Set(virtiotest.Status, 0xff) },
		"on another queue": func(g *guest, q int) { g.publish(q, 9999) },
	}
	everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
		for name, breach := range breaches {
			t.Run(name, func(t *testing.T) {
				g := start(t)
				g.boot(allFeatures)
				queues := serving[g.Device().ID()]
				if len(queues) == 1 && name == "on another queue" {
					return // there is no other
				}
				breach(g, queues[len(queues)-1])
				g.mustBreak()
				clear(g.bytes(g.buffer(queues[0]), 128))
				pair(g, queues[0], 0, write)
				time.Sleep(5 * time.Millisecond) // for who looks in spite of it
				g.Set(virtiotest.Status, 0)
				if used := memory.Load16(g.bytes(uint64(queues[0]*queueArea+usedArea), 4), 2); used != 0 {
					t.Errorf("%d requests carried out", used)
				}
				g.mustWork()
			})
		}
	})
}
