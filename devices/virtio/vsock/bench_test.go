package vsock

import (
	"io"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// BenchmarkToHost sends packets of 4 KiB, 64 at a time, to a host process that
// reads them all.
func BenchmarkToHost(b *testing.B) {
	g := newGuest(b)
	_, r, h := g.dialHost(1)
	go io.Copy(io.Discard, r)
	const size, batch = 4096, 32
	d := g.Queues[queueTX]
	p := reply(h, opData)
	p.srcCID, p.dstCID, p.kind, p.bufAlloc, p.len = testCID, HostCID, typeStream, 1<<20, size
	var raw [headerSize]byte
	p.encode(&raw)
	packet := []vqtest.Buffer{d.Out(raw[:]), d.Out(make([]byte, size))}
	window, sent, fwdCount := h.bufAlloc, uint32(0), uint32(0)
	hear := func() {
		for head, _, ok := g.Queues[queueRX].Used(); ok; head, _, ok = g.Queues[queueRX].Used() {
			var u header
			u.decode((*[headerSize]byte)(g.Queues[queueRX].Bytes(g.buffers[head])))
			window, fwdCount = u.bufAlloc, u.fwdCount
			g.again(head)
		}
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for done := 0; done < b.N; {
		n := 0
		for hear(); n < batch && done+n < b.N && window-(sent-fwdCount) >= size; n++ {
			d.Add(packet...)
			sent += size
		}
		g.Kick(queueTX)
		for range n {
			g.WaitUsed(queueTX)
		}
		done += n
	}
	g.failed(b)
}

// BenchmarkToGuest has a host process write as fast as it can to a guest that
// takes all of it, in packets of 4 KiB.
func BenchmarkToGuest(b *testing.B) {
	g := newGuest(b)
	c, _, h := g.dialHost(1)
	go func() {
		for chunk := make([]byte, 64<<10); ; {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}()
	b.SetBytes(4096)
	b.ReportAllocs()
	got, told := uint32(0), uint32(0)
	update := reply(h, opCreditUpdate)
	for b.Loop() {
		head, n := g.WaitUsed(queueRX)
		got += n - headerSize
		g.again(head)
		if got-told > 256<<10 {
			told = got
			update.fwdCount = got
			g.send(update, "")
		}
	}
	b.ReportMetric(float64(got)/float64(b.N), "bytes/packet")
	g.failed(b)
}

// again makes a receive buffer available that was used.
func (g *guest) again(head uint16) {
	buffer := g.buffers[head]
	delete(g.buffers, head)
	g.post(buffer)
}

func (g *guest) failed(b *testing.B) {
	if f := g.Failures(); len(f) > 0 {
		b.Fatal(f)
	}
}
