package vsock

import (
	"fmt"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestMalformed sends what no driver may: the device asks for a reset.
func TestMalformed(t *testing.T) {
	whole := func(h header) []byte {
		var raw [headerSize]byte
		h.encode(&raw)
		return raw[:]
	}
	tests := []struct {
		name  string
		queue int
		chain func(d *vqtest.Driver) vqtest.Buffer
	}{
		{"short header", queueTX, func(d *vqtest.Driver) vqtest.Buffer { return d.Out(make([]byte, headerSize-1)) }},
		{"length beyond the packet", queueTX, func(d *vqtest.Driver) vqtest.Buffer {
			return d.Out(whole(header{srcCID: testCID, dstCID: HostCID, kind: typeStream, op: opData, len: 1}))
		}},
		{"huge length", queueTX, func(d *vqtest.Driver) vqtest.Buffer {
			return d.Out(whole(header{srcCID: testCID, dstCID: HostCID, kind: typeStream, op: opData, len: 0xffff_ffff}))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t)
			g.Queues[tt.queue].Add(tt.chain(g.Queues[tt.queue]))
			g.Kick(tt.queue)
			g.WaitFailure()
		})
	}
	for _, size := range []int{headerSize - 1, headerSize} {
		t.Run(fmt.Sprintf("receive buffer of %d bytes", size), func(t *testing.T) { smallBuffer(t, size) })
	}
}

func smallBuffer(t *testing.T, size int) {
	g := newGuest(t)
	for range 32 { // use up the good ones
		g.send(header{srcPort: 1, dstPort: 2, op: opRequest}, "")
		h, _ := g.WaitUsed(queueRX)
		delete(g.buffers, h)
	}
	g.post(g.Queues[queueRX].In(size))
	g.sendNoWait(header{srcPort: 1, dstPort: 2, op: opRequest})
	g.WaitFailure()
}

func (g *guest) sendNoWait(h header) {
	h.srcCID, h.dstCID, h.kind = testCID, HostCID, typeStream
	var raw [headerSize]byte
	h.encode(&raw)
	g.Queues[queueTX].Add(g.Queues[queueTX].Out(raw[:]))
	g.Kick(queueTX)
}

// TestRefused sends what is well-formed but makes no sense: it is answered
// with a reset, or not at all, and the device goes on.
func TestRefused(t *testing.T) {
	tests := []struct {
		name   string
		packet header
		reset  bool
	}{
		{"data without a connection", header{srcPort: 1, dstPort: 2, op: opData}, true},
		{"unknown operation", header{srcPort: 1, dstPort: 2, op: 99}, true},
		{"response nobody asked for", header{srcPort: 1, dstPort: 2, op: opResponse}, true},
		{"reset without a connection", header{srcPort: 1, dstPort: 2, op: opReset}, false},
		{"forged sender", header{srcCID: 7, dstCID: HostCID, kind: typeStream, srcPort: 1, dstPort: 2, op: opRequest}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t)
			g.send(tt.packet, "")
			if tt.reset {
				g.expect(opReset)
			}
			g.dialHost(1) // the next packet is this request
			g.noFailures()
		})
	}
	t.Run("other socket type", func(t *testing.T) {
		g := newGuest(t)
		g.send(header{srcCID: testCID, dstCID: HostCID, kind: 2, srcPort: 1, dstPort: 2, op: opRequest}, "")
		head, _ := g.WaitUsed(queueRX)
		var h header
		h.decode((*[headerSize]byte)(g.Queues[queueRX].Bytes(g.buffers[head])))
		if h.op != opReset || h.kind != 2 {
			t.Errorf("answer is %+v, want a reset of the same type", h)
		}
	})
	t.Run("request for a connection that is", func(t *testing.T) {
		g := newGuest(t)
		_, h := g.dialGuest(g.listenHost(9), 1, 9)
		g.send(h.with(opRequest), "")
		g.expect(opReset)
	})
	t.Run("data after shutdown", func(t *testing.T) {
		g := newGuest(t)
		_, h := g.dialGuest(g.listenHost(9), 1, 9)
		end := h.with(opShutdown)
		end.flags = shutdownSend
		g.send(end, "")
		g.send(h.with(opData), "more")
		g.expect(opReset)
	})
}

// TestResetsNobodyTakes floods the device with packets that each earn a reset,
// with no room to receive them: the device stops listening instead of
// remembering them all.
func TestResetsNobodyTakes(t *testing.T) {
	g := newGuest(t)
	for i := range uint32(32) {
		g.send(header{srcPort: i, dstPort: 2, op: opData}, "")
		g.WaitUsed(queueRX) // and don't post the buffer again
	}
	taken := 0
	for range maxReplies {
		g.send(header{srcPort: 1, dstPort: 2, op: opData}, "")
		taken++
	}
	g.sendNoWait(header{srcPort: 1, dstPort: 2, op: opData})
	if _, _, ok := g.Queues[queueTX].Used(); ok {
		t.Errorf("device took more than %d packets that it owes a reset", taken)
	}
	b := g.Queues[queueRX].In(headerSize + 1)
	g.post(b)
	g.WaitUsed(queueRX)
	g.WaitUsed(queueTX) // now there is room for one more
	g.noFailures()
}

// FuzzPackets sends packets with any header, in a device with one connection
// of each kind.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0, 5, 0, 2, 0, 3, 0, 4, 0, 1, 0})
	f.Add([]byte{0, 1, 5, 1, 4, 2, 5, 200, 3, 3})
	f.Add([]byte{0x41, 0, 5, 1, 0x45, 200, 0xc5, 3, 0x44, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 64 {
			return
		}
		g := newGuest(t)
		_, h := g.dialGuest(g.listenHost(9), 1, 9)
		_, _, h2 := g.dialHost(8)
		for ; len(ops) >= 2; ops = ops[2:] {
			if ops[0]&0x40 != 0 {
				g.Suspend()
				g.Resume()
			}
			p := h
			if ops[0]&0x80 != 0 {
				p = reply(h2, 0)
			}
			p.op, p.flags = op(ops[0]&0xf), uint32(ops[1]&3)
			p.bufAlloc, p.fwdCount = uint32(ops[1])<<8, uint32(ops[1])
			g.send(p, long(int(ops[1])*16))
			for { // make room
				head, _, ok := g.Queues[queueRX].Used()
				if !ok {
					break
				}
				g.post(g.buffers[head])
			}
		}
		g.noFailures()
	})
}
