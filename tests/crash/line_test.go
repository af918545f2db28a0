package crash

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/tests/durable"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Request types; virtio 1.2, section 5.2.6.
const (
	in, out, flush, discard, writeZeroes = 0, 1, 4, 11, 13

	unmap = 1 // flag of a segment
)

// request is a place for a request of one queue: its buffers stay.
type request struct {
	header, status vqtest.Buffer
	buffer         vqtest.Buffer
	data           []byte // the buffer's bytes

	kind   uint32
	op     durable.Op // what it does, or the units it reads
	number uint32     // of op in the journal
	covers uint32     // by a flush
}

// changes reports whether the request is one that the journal knows.
func (r *request) changes() bool { return r.kind != in && r.kind != flush }

// line is the driver of one queue.
type line struct {
	*writer
	queue int
	rng   *rand.Rand
	free  []*request
	out   map[uint16]*request // by the chain's head
}

func newLine(w *writer, queue int, rng *rand.Rand) *line {
	l := &line{writer: w, queue: queue, rng: rng, out: map[uint16]*request{}}
	d := w.Queues[queue]
	for range inFlight {
		r := &request{header: d.Out(make([]byte, 16)), status: d.In(1)}
		r.buffer = vqtest.Buffer{GPA: w.Heap.Alloc(longest*unitSize, 4096), Len: longest * unitSize}
		r.data = d.Bytes(r.buffer)
		l.free = append(l.free, r)
	}
	return l
}

// step makes requests until there is no room for more, and takes one back.
func (l *line) step() {
	for len(l.free) > 0 {
		r := l.free[len(l.free)-1]
		if !l.choose(r) {
			break // units that are busy: another time, others
		}
		l.free = l.free[:len(l.free)-1]
		l.out[l.Queues[l.queue].Add(l.chain(r)...)] = r
		l.Kick(l.queue)
	}
	if len(l.out) == 0 {
		return
	}
	head, _ := l.WaitUsed(l.queue)
	r := l.out[head]
	delete(l.out, head)
	l.done(r)
	l.free = append(l.free, r)
}

// choose makes r a request for units that nothing is in flight for.
func (l *line) choose(r *request) bool {
	switch n := l.rng.IntN(100); {
	case n < 50:
		r.kind, r.op.Kind = out, durable.Write
	case n < 65:
		r.kind = in
	case n < 77:
		r.kind, r.op.Kind = writeZeroes, durable.WriteZeroes
	case n < 88:
		r.kind, r.op.Kind = discard, durable.Discard
	default:
		r.kind, r.op = flush, durable.Op{}
		r.covers = l.journal.covers()
		return true
	}
	r.op.First, r.op.N = l.place()
	r.op.First &^= l.align - 1
	r.op.N = (r.op.N + l.align - 1) &^ (l.align - 1)
	var ok bool
	r.number, ok = l.claim(&r.op, r.changes())
	return ok
}

// place returns where a request goes. Half of them, of all queues, crowd where
// few have been before, in parts of an overlay's clusters; others are anywhere,
// mostly short, and often whole clusters.
func (l *line) place() (first, n int) {
	if l.rng.IntN(2) == 0 {
		n = 1 + l.rng.IntN(5)
		return (int(l.crowd.Add(1)) + l.rng.IntN(24)) % (l.live.Units() - n), n
	}
	n = 1 + l.rng.IntN(1<<l.rng.IntN(8))
	first = l.rng.IntN(l.live.Units() - n)
	if l.rng.IntN(2) == 0 {
		first &^= 7
	}
	return first, n
}

// chain lays r out in its buffers.
func (l *line) chain(r *request) []vqtest.Buffer {
	copy(l.Queues[l.queue].Bytes(r.header), header(r.kind, r.op.First))
	data := r.buffer
	data.Len = uint32(r.op.N * unitSize)
	switch r.kind {
	case out:
		for i := range r.op.N {
			durable.Fill(r.data[i*unitSize:][:unitSize], r.op.First+i, r.op.Stamp)
		}
	case in:
		data.Writable = true
	case flush:
		copy(l.Queues[l.queue].Bytes(r.header), header(flush, 0))
		return []vqtest.Buffer{r.header, r.status}
	default:
		binary.LittleEndian.PutUint64(r.data, uint64(r.op.First))
		binary.LittleEndian.PutUint32(r.data[8:], uint32(r.op.N))
		binary.LittleEndian.PutUint32(r.data[12:], 0)
		if r.kind == writeZeroes && l.rng.IntN(2) == 0 {
			r.data[12] = unmap
		}
		data.Len = 16
		return []vqtest.Buffer{r.header, data, r.status}
	}
	// Drivers send pages in pieces.
	start, end := data, data
	start.Len = uint32(l.rng.IntN(r.op.N)&^(l.align-1)) * unitSize
	if start.Len == 0 {
		return []vqtest.Buffer{r.header, data, r.status}
	}
	end.GPA += memory.GPA(start.Len)
	end.Len -= start.Len
	return []vqtest.Buffer{r.header, start, end, r.status}
}

// done looks at a request that came back. What is wrong ends the process, which
// the parent doesn't want.
func (l *line) done(r *request) {
	if status := l.Queues[l.queue].Bytes(r.status)[0]; status != 0 {
		panic(fmt.Sprintf("request of type %d for %d units at %d: status %d", r.kind, r.op.N, r.op.First, status))
	}
	var err error
	if r.kind == flush {
		err = l.journal.flush(r.covers)
	} else {
		err = l.release(r)
	}
	if err != nil {
		panic(err)
	}
}
