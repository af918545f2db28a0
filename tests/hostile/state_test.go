package hostile

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// TestSuspended has every device rest and go on, itself and as another like it, in
// each state that its driver can have it in.
func TestSuspended(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, g *guest){
		"again and again": func(_ *testing.T, g *guest) {
			g.boot(allFeatures)
			for range 10 {
				g.Suspend()
				if err := g.Resume(); err != nil {
					g.t.Fatal(err)
				}
			}
			g.mustServe()
		},
		"and reset": func(_ *testing.T, g *guest) {
			g.boot(allFeatures)
			g.Suspend()
		},
		"and moved": func(_ *testing.T, g *guest) {
			g.boot(allFeatures)
			g.move()
			g.move()
			g.mustServe()
		},
		"after work, and moved": func(_ *testing.T, g *guest) {
			g.boot(allFeatures)
			g.mustServe()
			g.move()
			for _, q := range serving[g.Device().ID()] {
				pair(g, q, 0, write) // anew: the balloon takes the page that has it
				g.mustUse(q, 2)
			}
		},
		"before the start, and moved": func(_ *testing.T, g *guest) {
			g.boot(allFeatures)
			g.Negotiate(allFeatures)
			g.move()
			for i := range g.queues {
				g.queue(i)
			}
			g.move()
			if g.Set(virtiotest.Status, virtiotest.Running); g.Get(virtiotest.Status) != virtiotest.Running {
				g.t.Errorf("status %#x", g.Get(virtiotest.Status))
			}
		},
		"unused, and moved": func(_ *testing.T, g *guest) { g.move() },
		"broken, and moved": func(t *testing.T, g *guest) {
			g.boot(allFeatures)
			g.Set(virtiotest.Status, 0xff)
			g.mustBreak()
			g.move()
			if s := g.Get(virtiotest.Status); s != virtiotest.Running|virtiotest.NeedsReset {
				t.Errorf("status %#x, want one that needs a reset", s)
			}
			if len(g.evidence) > 0 {
				t.Errorf("it says so again: %v", g.evidence)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
				g := start(t)
				do(t, g)
				g.mustWork()
			})
		})
	}
}
