package hostile

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

const (
	device = 1 // on its bus

	entrySize = 16 // of the MSI-X table; PCI 3.0, section 6.8.2
)

// rewire undoes what was done to configuration space.
func (g *guest) rewire() {
	g.t.Helper()
	g.Board.SetConfig(device, pcitest.BAR0, 4, uint32(g.Board.BAR))
	g.Board.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory|pcitest.CommandMaster)
	at := g.Board.Find(device, pcitest.IDMSIX)
	g.Board.SetConfig(device, at+pcitest.MSIXControl, 2, pcitest.MSIXEnable)
	for _, bell := range g.Board.Doorbells() {
		if bell < g.Board.BAR || bell >= g.Board.BAR+g.Size {
			g.t.Errorf("a doorbell at %#x, the BAR is at %#x", bell, g.Board.BAR)
		}
	}
	if n := len(g.Board.Doorbells()); n != g.queues {
		g.t.Errorf("%d doorbells, want %d", n, g.queues)
	}
}

// TestConfigSpace writes and reads every register of configuration space, in
// every width and state, and the address port as well.
func TestConfigSpace(t *testing.T) {
	for name, create := range devices {
		for state, enter := range states {
			t.Run(name+"/"+state, func(t *testing.T) {
				g := newGuest(t, virtiotest.PCI, create(t))
				list := g.Board.List(device)
				for _, value := range []uint32{0, 1, 0x80000000, 0xe0000000, ^uint32(0)} {
					enter(g)
					for reg := range 0x100 {
						g.everyWidth(reg, value)
					}
				}
				if now := g.Board.List(device); !slices.Equal(now, list) {
					t.Errorf("the capability list is %v, was %v", now, list)
				}
				g.rewire()
				g.mustWork()
			})
		}
	}
}

// everyWidth accesses a register through the data port in all widths, over its
// dword's end as well, and then the address port so.
func (g *guest) everyWidth(reg int, value uint32) {
	b := []byte{byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)}
	for width := 1; width <= 4; width++ {
		g.Board.Select(device, reg)
		g.Board.IO.Write(uint64(0xcfc+reg&3), b[:width])
		g.Board.IO.Read(uint64(0xcfc+reg&3), make([]byte, width))
		g.Board.IO.Write(uint64(0xcf8+reg&7), b[:width])
		g.Board.IO.Read(uint64(0xcf8+reg&7), make([]byte, width))
	}
}

// TestWindow aims the window of configuration space at everything and at
// nothing.
func TestWindow(t *testing.T) {
	for name, create := range devices {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, virtiotest.PCI, create(t))
			list := g.Board.List(device)
			window := list[len(list)-1].At
			offsets := []uint32{0, 4, 20, 22, 28, 55, 56, 0x1000, 0x2000, 0x3000, 0x3004, 0x4000, 0x5000, 0x7fff, 0x8000, 1 << 31, 0xfffffffc, ^uint32(0)}
			for _, bar := range []uint32{0, 1, 5, 6, 255} {
				g.boot(allFeatures)
				for _, offset := range offsets {
					for _, length := range []uint32{0, 1, 2, 3, 4, 5, 8, 1 << 31, ^uint32(0)} {
						g.Board.SetConfig(device, window+4, 1, bar)
						g.Board.SetConfig(device, window+8, 4, offset)
						g.Board.SetConfig(device, window+12, 4, length)
						for _, width := range []int{1, 2, 4} {
							g.Board.SetConfig(device, window+16, width, ^uint32(0))
							g.Board.Guest.Config(device, window+16, width)
						}
					}
				}
			}
			g.mustWork()
		})
	}
}

// meanwhile has another vCPU disturb the device, again and again, while the
// driver works; and after that the device works as ever.
func meanwhile(t *testing.T, disturb func(g *guest, random *rand.Rand)) {
	for where, x := range targets {
		t.Run(where, func(t *testing.T) {
			if raceEnabled && !x.readable {
				t.Skip("NOT TESTED: here both sides write guest memory at once, as guests do")
			}
			g := newGuest(t, virtiotest.PCI, devices[x.device](t))
			done := make(chan struct{})
			var other sync.WaitGroup
			other.Go(func() {
				random := rand.New(rand.NewPCG(1, 2))
				for {
					select {
					case <-done:
						return
					default:
						disturb(g, random)
					}
				}
			})
			for range 30 {
				g.boot(allFeatures)
				for range 20 {
					g.descriptor(x.queue, 0, g.buffer(x.queue), 4096, x.flags(), 0)
					g.publish(x.queue, 0)
				}
			}
			close(done)
			other.Wait()
			g.rewire()
			g.mustWork()
		})
	}
}

// TestTableDuringTraffic changes messages and masks while they are sent. What
// is set last is what counts.
func TestTableDuringTraffic(t *testing.T) {
	meanwhile(t, func(g *guest, random *rand.Rand) {
		entry := g.Board.BAR + g.Board.Table + uint64(random.IntN(len(g.Board.Vectors)+1)*entrySize)
		g.Board.Guest.Write(entry+uint64(random.IntN(4)*4), 4, random.Uint64())
		at := g.Board.Find(device, pcitest.IDMSIX)
		g.Board.SetConfig(device, at+pcitest.MSIXControl, 2, random.Uint32())
		g.Board.Guest.Read(g.Board.BAR+g.Board.Table+0x1000, 8)
	})
}

// TestBARDuringTraffic moves the device's memory about, out of the window, and
// turns it off, while the driver rings.
func TestBARDuringTraffic(t *testing.T) {
	meanwhile(t, func(g *guest, random *rand.Rand) {
		bar := []uint32{uint32(g.Board.BAR), uint32(g.Board.BAR) + 0x8000, 0, 0xfee00000, ^uint32(0)}[random.IntN(5)]
		g.Board.SetConfig(device, pcitest.BAR0, 4, bar)
		g.Board.SetConfig(device, pcitest.Command, 2, random.Uint32())
		for _, bell := range g.Board.Doorbells() {
			g.Board.Guest.Write(bell, 2, 0)
		}
	})
}

// TestVectorsDuringTraffic maps events to other vectors, that are and aren't.
func TestVectorsDuringTraffic(t *testing.T) {
	meanwhile(t, func(g *guest, random *rand.Rand) {
		common := g.Offset(virtiotest.DeviceFeaturesSel)
		for _, reg := range []uint64{virtiotest.RegConfigVector, virtiotest.RegQueueVector} {
			v := uint16(random.IntN(len(g.Board.Vectors) + 2))
			g.Write(common+reg, []byte{byte(v), byte(v >> 8)})
		}
	})
}
