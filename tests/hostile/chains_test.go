package hostile

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// chains are requests that no driver may make. Each gets a device that runs;
// f is the direction that the queue's buffers have.
var chains = map[string]func(g *guest, q int, f uint16){
	"head is the queue's size": func(g *guest, q int, _ uint16) { g.publish(q, queueSize) },
	"head is 65535":            func(g *guest, q int, _ uint16) { g.publish(q, 0xffff) },
	"next is the queue's size": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, queueSize)
		g.publish(q, 0)
	},
	"next is 65535": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, 0xffff)
		g.publish(q, 0)
	},
	"loop of one": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, 0)
		g.publish(q, 0)
	},
	"loop of two": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, 1)
		g.descriptor(q, 1, g.buffer(q), 64, f|next, 0)
		g.publish(q, 0)
	},
	"loop after a start": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, 1)
		g.descriptor(q, 1, g.buffer(q), 64, f|next, 2)
		g.descriptor(q, 2, g.buffer(q), 64, f|next, 1)
		g.publish(q, 0)
	},
	"loop of nothing": func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 0, f|next, 0)
		g.publish(q, 0)
	},
	"buffer outside RAM":         one(highEnd, 64),
	"buffer over RAM's end":      one(highEnd-32, 64),
	"buffer in the hole":         one(lowEnd+0x1000, 64),
	"buffer into the hole":       one(lowEnd-32, 64),
	"buffer across the hole":     one(lowEnd-32, highBase-lowEnd+64),
	"buffer out of the hole":     one(highBase-32, 64),
	"buffer at 2^64-1":           one(^uint64(0), 1),
	"buffer that wraps":          one(^uint64(0)-31, 64),
	"buffer at 2^63":             one(1<<63, 64),
	"buffer of 4 GiB":            one(0x1000, 0xffffffff),
	"empty buffer outside RAM":   one(highEnd+1, 0),
	"empty buffer in the hole":   one(lowEnd+0x1000, 0),
	"empty chain":                one(0x1000, 0),
	"one byte":                   one(0x1000, 1),
	"the wrong direction":        func(g *guest, q int, f uint16) { one(g.buffer(q), 4096)(g, q, f^write) },
	"second buffer outside RAM":  second(highEnd, 64),
	"second buffer in the hole":  second(lowEnd, 64),
	"second buffer of 4 GiB":     second(0x1000, 0xffffffff),
	"readable after writable":    func(g *guest, q int, _ uint16) { pair(g, q, write, 0) },
	"indirect table of nothing":  table(0),
	"indirect table of 8 bytes":  table(8),
	"indirect table of 17 bytes": table(17),
	"indirect table of 4 GiB":    table(0xfffffff0),
	"indirect table too long":    table(16 * 32769),
	"indirect table outside RAM": func(g *guest, q int, _ uint16) {
		g.descriptor(q, 0, highEnd, 32, indirect, 0)
		g.publish(q, 0)
	},
	"indirect table into the hole": func(g *guest, q int, _ uint16) {
		g.descriptor(q, 0, lowEnd-16, 32, indirect, 0)
		g.publish(q, 0)
	},
	"indirect table with a next": func(g *guest, q int, f uint16) {
		g.entry(q, 0, g.buffer(q), 64, f, 0)
		g.descriptor(q, 0, g.table(q), 16, indirect|next, 1)
		g.descriptor(q, 1, g.buffer(q), 64, f, 0)
		g.publish(q, 0)
	},
	"indirect in an indirect table": func(g *guest, q int, _ uint16) {
		g.entry(q, 0, g.table(q), 16, indirect, 0)
		g.descriptor(q, 0, g.table(q), 16, indirect, 0)
		g.publish(q, 0)
	},
	"next out of an indirect table": func(g *guest, q int, f uint16) {
		g.entry(q, 0, g.buffer(q), 64, f|next, 2)
		g.descriptor(q, 0, g.table(q), 32, indirect, 0)
		g.publish(q, 0)
	},
	"loop in an indirect table": func(g *guest, q int, f uint16) {
		g.entry(q, 0, g.buffer(q), 64, f|next, 1)
		g.entry(q, 1, g.buffer(q), 64, f|next, 0)
		g.descriptor(q, 0, g.table(q), 32, indirect, 0)
		g.publish(q, 0)
	},
	"indirect chain longer than the queue": func(g *guest, q int, f uint16) {
		for i := range queueSize + 1 {
			flags := f | next
			if i == queueSize {
				flags = f
			}
			g.entry(q, i, g.buffer(q), 64, flags, uint16(i+1))
		}
		g.descriptor(q, 0, g.table(q), 16*(queueSize+1), indirect, 0)
		g.publish(q, 0)
	},
	"available index one too far": func(g *guest, q int, _ uint16) { g.index(q, queueSize+1) },
	"available index jumps":       func(g *guest, q int, _ uint16) { g.index(q, 0x8000) },
	"available index goes back":   func(g *guest, q int, _ uint16) { g.index(q, 0xffff) },
}

// one makes a chain of a single buffer.
func one(gpa uint64, n uint32) func(*guest, int, uint16) {
	return func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, gpa, n, f, 0)
		g.publish(q, 0)
	}
}

// second makes a chain of a good buffer and another.
func second(gpa uint64, n uint32) func(*guest, int, uint16) {
	return func(g *guest, q int, f uint16) {
		g.descriptor(q, 0, g.buffer(q), 64, f|next, 1)
		g.descriptor(q, 1, gpa, n, f, 0)
		g.publish(q, 0)
	}
}

func pair(g *guest, q int, first, last uint16) {
	g.descriptor(q, 0, g.buffer(q), 64, first|next, 1)
	g.descriptor(q, 1, g.buffer(q)+64, 64, last, 0)
	g.publish(q, 0)
}

// table makes an indirect table of n bytes, all zeroes.
func table(n uint32) func(*guest, int, uint16) {
	return func(g *guest, q int, _ uint16) {
		g.descriptor(q, 0, g.table(q), n, indirect, 0)
		g.publish(q, 0)
	}
}

func TestChains(t *testing.T) {
	for _, transport := range virtiotest.Transports() {
		for where, x := range targets {
			for what, attack := range chains {
				if where == "rng" && what == "one byte" {
					continue // a request like any other
				}
				t.Run(string(transport)+"/"+where+"/"+what, func(t *testing.T) {
					g := newGuest(t, transport, devices[x.device](t))
					g.boot(allFeatures)
					attack(g, x.queue, x.flags())
					g.mustAskForReset()
				})
			}
		}
	}
}
