package net_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// frames of benchmarks: bytes without the header, and the features and buffers
// that a driver has for them.
var benchFrames = []struct {
	name     string
	n        int
	header   []byte
	features uint64
	buffer   int // bytes of one
}{
	{"64B", 64, head(0, 0, 0, 0, 0, 0), mergeable, 1536},
	{"1500B", 1500, head(0, 0, 0, 0, 0, 0), mergeable, 1536},
	{"64KiB", 65550, head(1, 1, 54, 1448, 34, 16), mergeable | csum | hostTSO4 | guestCsum | guestTSO4, 4096},
}

// benchBuffers is how many buffers are in use: nearly all of a queue.
const benchBuffers = 250

// wire is a device on an endless port, with chains for one queue prepared.
type wire struct {
	*virtiotest.Harness
	port    *nettest.Endless
	heads   []uint16
	buffers []vqtest.Buffer
}

func newWire(b *testing.B, features uint64, frame []byte) *wire {
	b.Helper()
	w := &wire{port: &nettest.Endless{Frame: frame}}
	dev, err := net.New(net.Config{Port: w.port})
	if err != nil {
		b.Fatal(err)
	}
	w.Harness = virtiotest.Start(b, dev, virtiotest.Options{Features: features})
	return w
}

// slices returns buffers for n bytes each, in place, all that there are.
func (w *wire) slices(q, perFrame int) (all [][][]byte) {
	for ; len(w.buffers) >= perFrame; w.buffers = w.buffers[perFrame:] {
		var frame [][]byte
		for _, b := range w.buffers[:perFrame] {
			frame = append(frame, w.Queues[q].Bytes(b))
		}
		all = append(all, frame)
	}
	return all
}

// BenchmarkTransmit has the guest send frames, each a chain of buffers, to a
// port that copies them.
func BenchmarkTransmit(b *testing.B) {
	for _, f := range benchFrames {
		w := newWire(b, f.features, nil)
		d := w.Queues[tx]
		data := append(f.header, make([]byte, f.n)...)
		perFrame := (len(data) + f.buffer - 1) / f.buffer
		for len(w.buffers)+perFrame <= benchBuffers {
			from := len(w.buffers)
			for at := 0; at < len(data); at += f.buffer {
				w.buffers = append(w.buffers, d.Out(data[at:min(at+f.buffer, len(data))]))
			}
			w.heads = append(w.heads, d.Prepare(w.buffers[from:]...))
		}
		n := len(w.heads)
		b.Run(f.name+"/device", func(b *testing.B) {
			virtiotest.Bench(b, n, f.n, func() { w.Round(tx, w.heads) })
		})
		frames := w.slices(tx, perFrame)
		b.Run(f.name+"/copy", func(b *testing.B) {
			virtiotest.Bench(b, n, f.n, func() {
				for _, frame := range frames {
					w.port.Gather(frame)
				}
			})
		})
	}
}

// BenchmarkReceive has frames come to the guest, as many as it has buffers.
func BenchmarkReceive(b *testing.B) {
	for _, f := range benchFrames {
		data := append(f.header, make([]byte, f.n)...)
		w := newWire(b, f.features, data)
		d := w.Queues[rx]
		perFrame := (len(data) + f.buffer - 1) / f.buffer
		for len(w.buffers)+perFrame <= benchBuffers {
			for range perFrame {
				in := d.In(f.buffer)
				w.buffers = append(w.buffers, in)
				w.heads = append(w.heads, d.Prepare(in))
			}
		}
		n := len(w.heads) / perFrame
		b.Run(f.name+"/device", func(b *testing.B) {
			virtiotest.Bench(b, n, f.n, func() { w.Round(rx, w.heads) })
		})
		frames := w.slices(rx, perFrame)
		b.Run(f.name+"/copy", func(b *testing.B) {
			virtiotest.Bench(b, n, f.n, func() {
				for _, frame := range frames {
					nettest.Scatter(frame, data)
				}
			})
		})
	}
}

// BenchmarkAlone sends one frame at a time: two threads that wake each other
// up, beside what a frame costs.
func BenchmarkAlone(b *testing.B) {
	w := newWire(b, 0, nil)
	w.heads = []uint16{w.Queues[tx].Prepare(w.Queues[tx].Out(frame("alone")))}
	b.Run("64B/device", func(b *testing.B) {
		virtiotest.Bench(b, 1, 64, func() { w.Round(tx, w.heads) })
	})
}
