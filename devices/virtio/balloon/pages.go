package balloon

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const (
	// maxNumbers is how many page numbers are looked at in one go, after which
	// a reset needn't wait for the rest.
	maxNumbers = 256
	// maxList bounds the work one chain can cause, in bytes; drivers send
	// lists of 1 KiB.
	maxList = 1 << 20
)

// inflater serves the inflate queue: lists of page numbers.
type inflater struct {
	q     *virtio.Queue
	mem   *memory.Memory
	chain virtqueue.Chain
	buf   [4 * maxNumbers]byte
}

func newInflater(q *virtio.Queue, m *memory.Memory) *inflater { return &inflater{q: q, mem: m} }

func (i *inflater) serve() error { return i.q.Each(&i.chain, i.one) }

// one releases the pages of one list. Neighbours go together.
func (i *inflater) one(c *virtqueue.Chain) (uint32, error) {
	if c.ReadLen() == 0 || c.ReadLen()%4 != 0 || c.ReadLen() > maxList {
		return 0, &virtqueue.ProtocolError{Section: "5.5.6", What: fmt.Sprintf("list of page numbers of %d bytes", c.ReadLen())}
	}
	var first, n uint64
	for off := 0; off < c.ReadLen() && !i.q.Stopping(); off += len(i.buf) {
		got := c.ReadAt(i.buf[:], off)
		for b := i.buf[:got]; len(b) >= 4; b = b[4:] {
			page := uint64(binary.LittleEndian.Uint32(b))
			if n > 0 && page == first+n {
				n++
				continue
			}
			if err := i.release(first, n); err != nil {
				return 0, err
			}
			first, n = page, 1
		}
	}
	return 0, i.release(first, n)
}

func (i *inflater) release(first, n uint64) error {
	if n == 0 {
		return nil
	}
	b, err := i.mem.Slice(memory.GPA(first*pageSize), n*pageSize)
	if err != nil {
		return &virtqueue.ProtocolError{Section: "5.5.6", What: fmt.Sprintf("page %#x in the balloon: %v", first, err)}
	}
	release(i.mem, b)
	return nil
}

// deflater serves the deflate queue. Pages come back by being touched, so
// there is nothing to do for them.
type deflater struct {
	q     *virtio.Queue
	chain virtqueue.Chain
}

func newDeflater(q *virtio.Queue) *deflater { return &deflater{q: q} }

func (d *deflater) serve() error {
	return d.q.Each(&d.chain, func(*virtqueue.Chain) (uint32, error) { return 0, nil })
}

// reporter serves the reporting queue, section 5.5.6.7: buffers that are free
// memory of the guest's.
type reporter struct {
	q     *virtio.Queue
	mem   *memory.Memory
	chain virtqueue.Chain
}

func newReporter(q *virtio.Queue, m *memory.Memory) *reporter { return &reporter{q: q, mem: m} }

func (r *reporter) serve() error {
	return r.q.Each(&r.chain, func(c *virtqueue.Chain) (uint32, error) {
		for _, b := range c.Writable {
			if r.q.Stopping() {
				break
			}
			release(r.mem, b)
		}
		return 0, nil
	})
}
