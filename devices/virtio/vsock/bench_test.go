package vsock

import (
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

const (
	benchPacket = 4096
	benchBatch  = largeWindow / benchPacket / 2
)

// BenchmarkToHost sends packets to a host process that reads them all, beside
// a host process that writes as much to it directly.
func BenchmarkToHost(b *testing.B) {
	b.Run("4KiB/device", benchToHost)
	b.Run("4KiB/socket", func(b *testing.B) {
		to, from := socketPair(b)
		go io.Copy(io.Discard, from)
		benchWrites(b, to)
	})
}

// BenchmarkToGuest has a host process write as fast as it can to a guest that
// takes all of it, beside a host process that takes it directly.
func BenchmarkToGuest(b *testing.B) {
	b.Run("4KiB/device", benchToGuest)
	b.Run("4KiB/socket", func(b *testing.B) {
		to, from := socketPair(b)
		go writeAll(to)
		p := make([]byte, benchPacket)
		virtiotest.Bench(b, 1, benchPacket, func() {
			if _, err := io.ReadFull(from, p); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func benchToHost(b *testing.B) {
	g := newGuest(b)
	_, r, h := g.dialHost(1)
	go io.Copy(io.Discard, r)
	d := g.Queues[queueTX]
	p := reply(h, opData)
	p.srcCID, p.dstCID, p.kind, p.bufAlloc, p.len = testCID, HostCID, typeStream, 1<<20, benchPacket
	var raw [headerSize]byte
	p.encode(&raw)
	var heads []uint16
	for range benchBatch {
		heads = append(heads, d.Prepare(d.Out(raw[:]), d.Out(make([]byte, benchPacket))))
	}
	g.Round(queueTX, heads[:1]) // earns a large window
	h, sent := g.hear(), uint32(benchPacket)
	virtiotest.Bench(b, benchBatch, benchPacket, func() {
		for h.bufAlloc-(sent-h.fwdCount) < benchBatch*benchPacket {
			h = g.hear()
		}
		g.Round(queueTX, heads)
		sent += benchBatch * benchPacket
	})
	g.failed(b)
}

func benchToGuest(b *testing.B) {
	g := newGuest(b)
	c, _, h := g.dialHost(1)
	go writeAll(c)
	g.WaitBack(queueRX)
	d, heads := g.Queues[queueRX], slices.Collect(maps.Keys(g.buffers))
	var p header
	var got int64
	update := reply(h, opCreditUpdate)
	virtiotest.Bench(b, len(heads), benchPacket, func() {
		g.Round(queueRX, heads)
		for _, buffer := range g.buffers {
			p.decode((*[headerSize]byte)(d.Bytes(buffer)))
			update.fwdCount += p.len
			got += int64(p.len)
		}
		g.send(update, "")
	})
	b.SetBytes(got / int64(b.N)) // some packets end where the host's socket has a seam
	g.failed(b)
}

// hear takes a packet and gives its buffer back.
func (g *guest) hear() (h header) {
	head, _ := g.WaitUsed(queueRX)
	buffer := g.buffers[head]
	h.decode((*[headerSize]byte)(g.Queues[queueRX].Bytes(buffer)))
	delete(g.buffers, head)
	g.post(buffer)
	return h
}

func (g *guest) failed(b *testing.B) {
	if f := g.Failures(); len(f) > 0 {
		b.Fatal(f)
	}
}

// writeAll writes until there is nobody to write to.
func writeAll(c net.Conn) {
	for chunk := make([]byte, 64<<10); ; {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

func benchWrites(b *testing.B, c net.Conn) {
	p := make([]byte, benchPacket)
	virtiotest.Bench(b, 1, benchPacket, func() {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	})
}

func socketPair(b *testing.B) (to, from net.Conn) {
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if to, err = net.Dial("unix", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { to.Close() })
	if from, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { from.Close() })
	return to, from
}
