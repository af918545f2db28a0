// Package virtqueue is the device's side of a split virtqueue, virtio 1.2
// section 2.7, with indirect descriptors and event index.
//
//	driver: fills descriptors ─▶ available ring ─▶ kick
//	device: Pop ─▶ Chain of host slices ─▶ I/O ─▶ Push ─▶ used ring ─▶ interrupt
//
// The driver is not trusted and runs at the same time. Every descriptor is
// copied once, the copy is checked, and only the copy is used; whatever breaks
// the specification comes back as a *ProtocolError. Nothing is allocated per
// chain.
package virtqueue

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Queue is a split virtqueue. Pop, DisableKicks and EnableKicks must not overlap
// each other, nor Push and Publish; the former may overlap the latter.
type Queue struct {
	mem      *memory.Memory
	size     uint16
	eventIdx bool
	indirect bool

	desc, avail, used []byte // guest memory

	nextAvail uint16 // the next available ring entry to take
	nextUsed  uint16 // the next used ring entry to fill
	signalled uint16 // nextUsed when the driver was last told
}

// New returns the queue that c describes. It fails with *ProtocolError.
func New(mem *memory.Memory, c Config) (*Queue, error) {
	desc, avail, used, err := c.areas(mem)
	if err != nil {
		return nil, err
	}
	return &Queue{
		mem: mem, size: c.Size, eventIdx: c.EventIdx, indirect: c.Indirect,
		desc: desc, avail: avail, used: used,
		nextAvail: c.Start.NextAvail, nextUsed: c.Start.NextUsed, signalled: c.Start.NextUsed,
	}, nil
}

// Position returns where the queue is. No other call may overlap it, and what was
// pushed must be published. Chains taken and not given back are lost to a queue
// that starts there, unless their owner remembers them or has them undone.
func (q *Queue) Position() Position { return Position{q.nextAvail, q.nextUsed} }

// Size returns the number of descriptors.
func (q *Queue) Size() int { return int(q.size) }

// Pop takes the next chain off the available ring into c, which it overwrites.
// It reports false if there is none.
func (q *Queue) Pop(c *Chain) (bool, error) {
	waiting := memory.Load16(q.avail, offIndex) - q.nextAvail
	if waiting == 0 {
		return false, nil
	}
	if waiting > q.size {
		return false, &ProtocolError{"2.7.13.3", "available index is ahead by more than the queue's size"}
	}
	slot := q.nextAvail & (q.size - 1)
	head := binary.LittleEndian.Uint16(q.avail[ringHeader+availElemSize*int(slot):])
	if err := q.walk(c, head); err != nil {
		return false, err
	}
	q.nextAvail++
	return true, nil
}

// Undo puts the chain that Pop took last back, for a device that can't serve
// it yet.
func (q *Queue) Undo() { q.nextAvail-- }

// Push gives the chain with the given head back to the driver: the device has
// written its first n writable bytes. The driver sees it once Publish is
// called.
func (q *Queue) Push(head uint16, n uint32) {
	elem := q.used[ringHeader+usedElemSize*int(q.nextUsed&(q.size-1)):]
	binary.LittleEndian.PutUint32(elem, uint32(head))
	binary.LittleEndian.PutUint32(elem[4:], n)
	q.nextUsed++
}

// Publish shows the driver all that was pushed and reports whether the driver
// wants an interrupt for it.
func (q *Queue) Publish() (interrupt bool) {
	if q.nextUsed == q.signalled {
		return false
	}
	// The store is a full barrier: what the driver asks for is read after it
	// can see the new index, or each side could wait for the other.
	memory.Store16(q.used, offIndex, q.nextUsed)
	old := q.signalled
	q.signalled = q.nextUsed
	if !q.eventIdx {
		return memory.Load16(q.avail, offFlags)&availNoInterrupt == 0
	}
	// Section 2.7.7: used_event lies among the entries since the last time.
	event := memory.Load16(q.avail, ringHeader+availElemSize*int(q.size))
	return q.nextUsed-event-1 < q.nextUsed-old
}

// DisableKicks asks the driver not to notify, while the device is looking
// anyway. It is a hint; a driver may go on.
func (q *Queue) DisableKicks() {
	if !q.eventIdx { // with event index there is nothing to do: it is a one-shot
		memory.Store16(q.used, offFlags, usedNoNotify)
	}
}

// EnableKicks asks the driver to notify of the next chain and reports whether
// one has come in the meantime, for which no notification may come.
func (q *Queue) EnableKicks() (more bool) {
	if q.eventIdx {
		memory.Store16(q.used, ringHeader+usedElemSize*int(q.size), q.nextAvail) // section 2.7.10, avail_event
	} else {
		memory.Store16(q.used, offFlags, 0)
	}
	return memory.Load16(q.avail, offIndex) != q.nextAvail
}
