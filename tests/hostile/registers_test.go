package hostile

import (
	"encoding/binary"
	"testing"
)

// misuse is what a driver may not do with the registers, in every state it may
// not do it in. Each is to end with DEVICE_NEEDS_RESET.
var misuse = map[string]func(g *guest){
	"DRIVER first":                func(g *guest) { g.set(regStatus, driver) },
	"FEATURES_OK first":           func(g *guest) { g.set(regStatus, featuresOK) },
	"DRIVER_OK first":             func(g *guest) { g.set(regStatus, driverOK) },
	"FEATURES_OK without DRIVER":  func(g *guest) { g.set(regStatus, acknowledge|featuresOK) },
	"DRIVER_OK without features":  func(g *guest) { g.set(regStatus, acknowledge|driver|driverOK) },
	"status with an unknown bit":  func(g *guest) { g.set(regStatus, acknowledge|16) },
	"status of nine bits":         func(g *guest) { g.set(regStatus, 0x100) },
	"the device's own status bit": func(g *guest) { g.set(regStatus, needsReset) },
	"status goes back": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regStatus, acknowledge|driver)
	},
	"status goes back while running": func(g *guest) {
		g.boot(allFeatures)
		g.set(regStatus, negotiated)
	},
	"features after FEATURES_OK": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regFeatures, 0)
	},
	"features while running": func(g *guest) {
		g.boot(allFeatures)
		g.set(regFeatures, 1)
	},
	"features above bit 63": func(g *guest) {
		g.set(regFeaturesSel, 2)
		g.set(regFeatures, 1)
	},
	"queue before FEATURES_OK": func(g *guest) { g.set(regQueueSize, queueSize) },
	"queue enabled before FEATURES_OK": func(g *guest) {
		g.set(regStatus, acknowledge)
		g.set(regQueueReady, 1)
	},
	"queue size of 65535": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regQueueSize, 0xffff)
	},
	"queue size of 2^32-1": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regQueueSize, 0xffffffff)
	},
	"no such queue": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regQueueSel, 1000)
		g.set(regQueueReady, 1)
	},
	"no such queue, 2^32-1": func(g *guest) {
		g.negotiate(allFeatures)
		g.set(regQueueSel, 0xffffffff)
		g.set(regQueueDescLow, 0x1000)
	},
	"enabled queue changed": func(g *guest) {
		g.negotiate(allFeatures)
		g.queue(0)
		g.set(regQueueDescLow, 0x4000)
	},
	"enabled queue resized": func(g *guest) {
		g.negotiate(allFeatures)
		g.queue(0)
		g.set(regQueueSize, 4)
	},
	"queue set up while running": func(g *guest) {
		g.boot(allFeatures)
		g.set(regQueueSel, 0)
		g.set(regQueueDriverLow, 0x4000)
	},
	"queue disabled while running": func(g *guest) {
		g.boot(allFeatures)
		g.set(regQueueSel, 0)
		g.set(regQueueReady, 0)
	},
	"one byte":           func(g *guest) { g.Write(regStatus, []byte{1}) },
	"two bytes":          func(g *guest) { g.Write(regStatus, []byte{1, 0}) },
	"eight bytes":        func(g *guest) { g.Write(regStatus, make([]byte, 8)) },
	"unaligned":          func(g *guest) { g.Write(regStatus+2, make([]byte, 4)) },
	"three bytes":        func(g *guest) { g.Write(regQueueNotify, make([]byte, 3)) },
	"over the registers": func(g *guest) { g.Write(regConfig-2, make([]byte, 4)) },
}

// badQueues are queues that can't be: found when the device is to start.
var badQueues = map[string]func(g *guest){
	"size 0":                    func(g *guest) { g.set(regQueueSize, 0) },
	"size 3":                    func(g *guest) { g.set(regQueueSize, 3) },
	"size 7":                    func(g *guest) { g.set(regQueueSize, 7) },
	"descriptors unaligned":     func(g *guest) { g.set(regQueueDescLow, 8) },
	"available unaligned":       func(g *guest) { g.set(regQueueDriverLow, availArea+1) },
	"used unaligned":            func(g *guest) { g.set(regQueueDeviceLow, usedArea+2) },
	"descriptors beyond RAM":    func(g *guest) { g.set(regQueueDescLow, highEnd) },
	"available beyond RAM":      func(g *guest) { g.set(regQueueDriverLow, highEnd) },
	"used beyond RAM":           func(g *guest) { g.set(regQueueDeviceLow, highEnd) },
	"descriptors in the hole":   func(g *guest) { g.set(regQueueDescLow, lowEnd) },
	"available in the hole":     func(g *guest) { g.set(regQueueDriverLow, lowEnd+0x1000) },
	"used in the hole":          func(g *guest) { g.set(regQueueDeviceLow, highBase-0x1000) },
	"descriptors into the hole": func(g *guest) { g.set(regQueueDescLow, lowEnd-16) },
	"available into the hole":   func(g *guest) { g.set(regQueueDriverLow, lowEnd-8) },
	"used into the hole":        func(g *guest) { g.set(regQueueDeviceLow, lowEnd-32) },
	"over RAM's end":            func(g *guest) { g.set(regQueueDescLow, highEnd-16) },
	"everything above 4 GiB":    func(g *guest) { g.place(0, 1) },
	"at the end of all":         func(g *guest) { g.place(0, 0xffffffff) },
	"wraps": func(g *guest) {
		g.set(regQueueDescHigh, 0xffffffff)
		g.set(regQueueDescLow, 0xfffffff0)
	},
}

func TestRegisters(t *testing.T) {
	for device, make := range devices {
		for what, attack := range misuse {
			t.Run(device+"/"+what, func(t *testing.T) {
				g := newGuest(t, make(t))
				attack(g)
				g.mustAskForReset()
			})
		}
	}
}

func TestQueues(t *testing.T) {
	for device, make := range devices {
		for what, attack := range badQueues {
			t.Run(device+"/"+what, func(t *testing.T) {
				g := newGuest(t, make(t))
				g.negotiate(allFeatures)
				g.set(regQueueSel, 0)
				g.set(regQueueSize, queueSize)
				g.place(0, 0)
				attack(g)
				g.set(regQueueReady, 1)
				g.set(regStatus, running)
				g.mustAskForReset()
			})
		}
	}
}

// TestRefusedFeatures accepts what was never offered: FEATURES_OK stays unset,
// and that is all; section 2.2.2.
func TestRefusedFeatures(t *testing.T) {
	for device, make := range devices {
		for what, features := range map[string]uint64{"unknown": 1<<32 | 1<<60, "legacy": 0, "all": ^uint64(0)} {
			t.Run(device+"/"+what, func(t *testing.T) {
				g := newGuest(t, make(t))
				g.set(regStatus, acknowledge)
				g.set(regStatus, acknowledge|driver)
				for word := range uint32(2) {
					g.set(regFeaturesSel, word)
					g.set(regFeatures, uint32(features>>(32*word)))
				}
				g.set(regStatus, negotiated)
				if s := g.get(regStatus); s != acknowledge|driver {
					t.Errorf("status %#x", s)
				}
				g.mustWork()
			})
		}
	}
}

// TestEveryRegister writes and reads at every offset, in every width and
// state. Nothing may break for good.
func TestEveryRegister(t *testing.T) {
	states := map[string]func(g *guest){
		"reset":      func(*guest) {},
		"negotiated": func(g *guest) { g.negotiate(allFeatures) },
		"running":    func(g *guest) { g.boot(allFeatures) },
		"failed":     func(g *guest) { g.boot(allFeatures); g.set(regStatus, 0x100) },
	}
	for device, create := range devices {
		for state, enter := range states {
			t.Run(device+"/"+state, func(t *testing.T) {
				g := newGuest(t, create(t))
				for _, value := range []uint64{0, 1, 0x80000000, ^uint64(0)} {
					enter(g)
					for offset := uint64(0); offset < 0x200; offset++ {
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
	}
}

// TestFloods rings and asks without end while the device works.
func TestFloods(t *testing.T) {
	for where, x := range targets {
		t.Run(where, func(t *testing.T) {
			g := newGuest(t, devices[x.device](t))
			for range 20 {
				g.boot(allFeatures)
				for i := range uint32(2000) {
					g.set(regQueueNotify, i%8)
					g.set(regQueueNotify, 1<<31|i)
					g.set(regInterruptACK, i)
				}
				g.descriptor(x.queue, 0, g.buffer(x.queue), 4096, x.flags(), 0)
				g.publish(x.queue, 0)
			}
			g.mustWork()
		})
	}
}
