package hostile

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// misuse is what a driver may not do with the registers, in every state it may
// not do it in. Each is to end with DEVICE_NEEDS_RESET.
var misuse = map[string]func(g *guest){
	"DRIVER first":                func(g *guest) { g.Set(virtiotest.Status, virtiotest.Driver) },
	"FEATURES_OK first":           func(g *guest) { g.Set(virtiotest.Status, virtiotest.FeaturesOK) },
	"DRIVER_OK first":             func(g *guest) { g.Set(virtiotest.Status, virtiotest.DriverOK) },
	"FEATURES_OK without DRIVER":  func(g *guest) { g.Set(virtiotest.Status, virtiotest.Acknowledge|virtiotest.FeaturesOK) },
	"DRIVER_OK without features":  func(g *guest) { g.Set(virtiotest.Status, virtiotest.Acknowledge|virtiotest.Driver|virtiotest.DriverOK) },
	"status with an unknown bit":  func(g *guest) { g.Set(virtiotest.Status, virtiotest.Acknowledge|16) },
	"the device's own status bit": func(g *guest) { g.Set(virtiotest.Status, virtiotest.NeedsReset) },
	"status goes back": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.Status, virtiotest.Acknowledge|virtiotest.Driver)
	},
	"status goes back while running": func(g *guest) {
		g.boot(allFeatures)
		g.Set(virtiotest.Status, virtiotest.Negotiated)
	},
	"features after FEATURES_OK": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.DriverFeatures, 0)
	},
	"features while running": func(g *guest) {
		g.boot(allFeatures)
		g.Set(virtiotest.DriverFeatures, 1)
	},
	"features above bit 63": func(g *guest) {
		g.Set(virtiotest.DriverFeaturesSel, 2)
		g.Set(virtiotest.DriverFeatures, 1)
	},
	"queue before FEATURES_OK": func(g *guest) { g.Set(virtiotest.QueueSize, queueSize) },
	"queue enabled before FEATURES_OK": func(g *guest) {
		g.Set(virtiotest.Status, virtiotest.Acknowledge)
		g.Set(virtiotest.QueueReady, 1)
	},
	"queue size of 65535": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.QueueSize, 0xffff)
	},
	"queue size of 2^32-1": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.QueueSize, 0xffffffff)
	},
	"no such queue": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.QueueSel, 1000)
		g.Set(virtiotest.QueueReady, 1)
	},
	"no such queue, 2^32-1": func(g *guest) {
		g.Negotiate(allFeatures)
		g.Set(virtiotest.QueueSel, 0xffffffff)
		g.Set(virtiotest.QueueDescLow, 0x1000)
	},
	"enabled queue changed": func(g *guest) {
		g.Negotiate(allFeatures)
		g.queue(0)
		g.Set(virtiotest.QueueDescLow, 0x4000)
	},
	"enabled queue resized": func(g *guest) {
		g.Negotiate(allFeatures)
		g.queue(0)
		g.Set(virtiotest.QueueSize, 4)
	},
	"queue set up while running": func(g *guest) {
		g.boot(allFeatures)
		g.Set(virtiotest.QueueSel, 0)
		g.Set(virtiotest.QueueDriverLow, 0x4000)
	},
	"queue disabled while running": func(g *guest) {
		g.boot(allFeatures)
		g.Set(virtiotest.QueueSel, 0)
		g.Set(virtiotest.QueueReady, 0)
	},
	"half a register":  func(g *guest) { g.Write(g.Offset(virtiotest.DriverFeatures), []byte{1, 0}) },
	"one byte of four": func(g *guest) { g.Write(g.Offset(virtiotest.QueueDescLow), []byte{1}) },
	"three bytes":      func(g *guest) { g.Write(g.Offset(virtiotest.QueueDescLow), make([]byte, 3)) },
	"eight bytes":      func(g *guest) { g.Write(g.Offset(virtiotest.QueueDescLow), make([]byte, 8)) },
	"unaligned":        func(g *guest) { g.Write(g.Offset(virtiotest.QueueDescLow)+2, make([]byte, 4)) },
}

// misuseMMIO is what only that transport's registers make possible.
var misuseMMIO = map[string]func(g *guest){
	"status of nine bits":     func(g *guest) { g.Set(virtiotest.Status, 0x100) },
	"one byte of the status":  func(g *guest) { g.Write(g.Offset(virtiotest.Status), []byte{1}) },
	"two bytes of the status": func(g *guest) { g.Write(g.Offset(virtiotest.Status), []byte{1, 0}) },
	"over the registers":      func(g *guest) { g.Write(g.Config-2, make([]byte, 4)) },
}

// badQueues are queues that can't be: found when the device is to start.
var badQueues = map[string]func(g *guest){
	"size 0":                    func(g *guest) { g.Set(virtiotest.QueueSize, 0) },
	"size 3":                    func(g *guest) { g.Set(virtiotest.QueueSize, 3) },
	"size 7":                    func(g *guest) { g.Set(virtiotest.QueueSize, 7) },
	"descriptors unaligned":     func(g *guest) { g.Set(virtiotest.QueueDescLow, 8) },
	"available unaligned":       func(g *guest) { g.Set(virtiotest.QueueDriverLow, availArea+1) },
	"used unaligned":            func(g *guest) { g.Set(virtiotest.QueueDeviceLow, usedArea+2) },
	"descriptors beyond RAM":    func(g *guest) { g.Set(virtiotest.QueueDescLow, highEnd) },
	"available beyond RAM":      func(g *guest) { g.Set(virtiotest.QueueDriverLow, highEnd) },
	"used beyond RAM":           func(g *guest) { g.Set(virtiotest.QueueDeviceLow, highEnd) },
	"descriptors in the hole":   func(g *guest) { g.Set(virtiotest.QueueDescLow, lowEnd) },
	"available in the hole":     func(g *guest) { g.Set(virtiotest.QueueDriverLow, lowEnd+0x1000) },
	"used in the hole":          func(g *guest) { g.Set(virtiotest.QueueDeviceLow, highBase-0x1000) },
	"descriptors into the hole": func(g *guest) { g.Set(virtiotest.QueueDescLow, lowEnd-16) },
	"available into the hole":   func(g *guest) { g.Set(virtiotest.QueueDriverLow, lowEnd-8) },
	"used into the hole":        func(g *guest) { g.Set(virtiotest.QueueDeviceLow, lowEnd-32) },
	"over RAM's end":            func(g *guest) { g.Set(virtiotest.QueueDescLow, highEnd-16) },
	"everything above 4 GiB":    func(g *guest) { g.place(0, 1) },
	"at the end of all":         func(g *guest) { g.place(0, 0xffffffff) },
	"wraps": func(g *guest) {
		g.Set(virtiotest.QueueDescHigh, 0xffffffff)
		g.Set(virtiotest.QueueDescLow, 0xfffffff0)
	},
}

func TestRegisters(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
		for what, attack := range misuse {
			t.Run(what, func(t *testing.T) {
				g := start(t)
				attack(g)
				g.mustAskForReset()
			})
		}
	})
}

func TestRegistersMMIO(t *testing.T) {
	for device, create := range devices {
		for what, attack := range misuseMMIO {
			t.Run(device+"/"+what, func(t *testing.T) {
				g := newGuest(t, virtiotest.MMIO, create(t))
				attack(g)
				g.mustAskForReset()
			})
		}
	}
}

func TestQueues(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
		for what, attack := range badQueues {
			t.Run(what, func(t *testing.T) {
				g := start(t)
				g.Negotiate(allFeatures)
				g.place(0, 0)
				attack(g)
				g.Set(virtiotest.QueueReady, 1)
				g.Set(virtiotest.Status, virtiotest.Running)
				g.mustAskForReset()
			})
		}
	})
}

// TestRefusedFeatures accepts what was never offered: FEATURES_OK stays unset,
// and that is all; section 2.2.2.
func TestRefusedFeatures(t *testing.T) {
	const chosen = virtiotest.Acknowledge | virtiotest.Driver
	everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
		for what, features := range map[string]uint64{"unknown": 1<<32 | 1<<60, "legacy": 0, "all": ^uint64(0)} {
			t.Run(what, func(t *testing.T) {
				g := start(t)
				g.Set(virtiotest.Status, virtiotest.Acknowledge)
				g.Set(virtiotest.Status, chosen)
				for word := range uint32(2) {
					g.Set(virtiotest.DriverFeaturesSel, word)
					g.Set(virtiotest.DriverFeatures, uint32(features>>(32*word)))
				}
				g.Set(virtiotest.Status, virtiotest.Negotiated)
				if s := g.Get(virtiotest.Status); s != chosen {
					t.Errorf("status %#x", s)
				}
				g.mustWork()
			})
		}
	})
}

// states are what a device may be in when something is done to it.
var states = map[string]func(g *guest){
	"reset":      func(*guest) {},
	"negotiated": func(g *guest) { g.Negotiate(allFeatures) },
	"running":    func(g *guest) { g.boot(allFeatures) },
	"failed":     func(g *guest) { g.boot(allFeatures); g.Set(virtiotest.Status, virtiotest.Acknowledge) },
}

// TestEveryRegister writes and reads at every offset where something is, in
// every width and state. Nothing may break for good.
func TestEveryRegister(t *testing.T) {
	everywhere(t, func(t *testing.T, start func(*testing.T) *guest) {
		for state, enter := range states {
			t.Run(state, func(t *testing.T) {
				g := start(t)
				for _, value := range []uint64{0, 1, 0x80000000, ^uint64(0)} {
					enter(g)
					for offset := uint64(0); offset < g.Size; offset++ {
						if in := offset % 0x1000; in >= 0x200 && in < 0x1000-8 {
							continue // the middle of a page
						}
						for _, width := range []int{1, 2, 3, 4, 8} {
							b := binary.LittleEndian.AppendUint64(nil, value)[:width]
							g.Write(offset, b)
							g.Read(offset, b)
						}
					}
				}
				g.mustWork()
			})
		}
	})
}

// TestFloods rings and asks without end while the device works.
func TestFloods(t *testing.T) {
	for _, transport := range virtiotest.Transports() {
		for where, x := range targets {
			t.Run(string(transport)+"/"+where, func(t *testing.T) {
				g := newGuest(t, transport, devices[x.device](t))
				for range 20 {
					g.boot(allFeatures)
					for i := range uint32(2000) {
						g.Notify(i % 8)
						g.Notify(1<<31 | i)
						g.acknowledge(i)
					}
					g.descriptor(x.queue, 0, g.buffer(x.queue), 4096, x.flags(), 0)
					g.publish(x.queue, 0)
				}
				g.mustWork()
			})
		}
	}
}
