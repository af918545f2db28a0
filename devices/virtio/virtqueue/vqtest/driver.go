// Package vqtest is the driver's side of a split virtqueue, for tests,
// benchmarks and fuzzers of devices. It plays a well-behaved driver with Add,
// Kick and Used, and any other with the raw setters.
package vqtest

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Descriptor flags; virtio 1.2, section 2.7.5.
const (
	Next     = 1
	Write    = 2
	Indirect = 4
)

// Driver owns one queue in a Memory of its own or one shared with other
// queues.
type Driver struct {
	Mem    *memory.Memory
	Config virtqueue.Config

	t     testing.TB
	heap  *Heap
	free  []uint16
	chain map[uint16][]uint16 // descriptors in use, by head
	avail uint16
	used  uint16
}

// Heap hands out guest memory to drivers and their buffers.
type Heap struct {
	Mem  *memory.Memory
	next memory.GPA
	end  memory.GPA
	t    testing.TB
}

// NewHeap returns size bytes of guest memory at GPA 0 on the Go heap.
func NewHeap(t testing.TB, size uint64) *Heap {
	return newHeap(t, memory.NewHeap(memory.Range{Size: size}))
}

// NewMapped is NewHeap with memory as a machine has it, mapped until the test
// ends. It has at least 32 MiB.
func NewMapped(t testing.TB, size uint64) *Heap {
	t.Helper()
	mem, err := memory.New(max(size, memory.MinSize))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() }) // fails only if it isn't mapped
	return newHeap(t, mem)
}

// newHeap leaves the first page of mem out.
func newHeap(t testing.TB, mem *memory.Memory) *Heap {
	return &Heap{Mem: mem, next: 0x1000, end: memory.GPA(mem.Size()), t: t}
}

// Alloc returns n bytes of guest memory, zeroed if never used before.
func (h *Heap) Alloc(n int, align memory.GPA) memory.GPA {
	h.t.Helper()
	gpa := (h.next + align - 1) &^ (align - 1)
	if gpa+memory.GPA(n) > h.end {
		h.t.Fatalf("vqtest: out of guest memory: %d bytes at %v", n, gpa)
	}
	h.next = gpa + memory.GPA(n)
	return gpa
}

// Bytes returns guest memory in place.
func (h *Heap) Bytes(gpa memory.GPA, n int) []byte {
	h.t.Helper()
	b, err := h.Mem.Slice(gpa, uint64(n))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// New returns the driver of a queue of the given size, laid out in h.
func New(t testing.TB, h *Heap, size uint16) *Driver {
	n := int(size)
	d := &Driver{
		Mem: h.Mem,
		Config: virtqueue.Config{
			Size:  size,
			Desc:  h.Alloc(16*n, 16),
			Avail: h.Alloc(6+2*n, 4),
			Used:  h.Alloc(6+8*n+2, 4),
		},
		t: t, heap: h, chain: make(map[uint16][]uint16),
	}
	for i := range size {
		d.free = append(d.free, size-1-i)
	}
	return d
}

// Buffer is one buffer of a chain.
type Buffer struct {
	GPA      memory.GPA
	Len      uint32
	Writable bool
}

// Out allocates a buffer that holds p, for the device to read.
func (d *Driver) Out(p []byte) Buffer {
	gpa := d.heap.Alloc(len(p), 16)
	copy(d.heap.Bytes(gpa, len(p)), p)
	return Buffer{GPA: gpa, Len: uint32(len(p))}
}

// In allocates a buffer of n bytes for the device to write.
func (d *Driver) In(n int) Buffer {
	return Buffer{GPA: d.heap.Alloc(n, 16), Len: uint32(n), Writable: true}
}

// Bytes returns what b holds, in place.
func (d *Driver) Bytes(b Buffer) []byte { return d.heap.Bytes(b.GPA, int(b.Len)) }

// Add makes a chain of the buffers available and returns its head. The device
// isn't told.
func (d *Driver) Add(buffers ...Buffer) uint16 {
	d.t.Helper()
	head := d.Prepare(buffers...)
	d.Publish(head)
	return head
}

// Prepare makes a chain of the buffers that isn't available yet.
func (d *Driver) Prepare(buffers ...Buffer) (head uint16) {
	d.t.Helper()
	if len(d.free) < len(buffers) {
		d.t.Fatalf("vqtest: %d free descriptors, need %d", len(d.free), len(buffers))
	}
	ids := make([]uint16, len(buffers))
	for i := range ids {
		ids[i] = d.free[len(d.free)-1]
		d.free = d.free[:len(d.free)-1]
	}
	for i, b := range buffers {
		var flags, next uint16
		if b.Writable {
			flags |= Write
		}
		if i+1 < len(ids) {
			flags |= Next
			next = ids[i+1]
		}
		d.SetDesc(ids[i], uint64(b.GPA), b.Len, flags, next)
	}
	d.chain[ids[0]] = ids
	return ids[0]
}

// AddIndirect is Add by way of an indirect table.
func (d *Driver) AddIndirect(buffers ...Buffer) uint16 {
	d.t.Helper()
	head := d.PrepareIndirect(buffers...)
	d.Publish(head)
	return head
}

// PrepareIndirect is Prepare by way of an indirect table.
func (d *Driver) PrepareIndirect(buffers ...Buffer) (head uint16) {
	d.t.Helper()
	table := d.heap.Alloc(16*len(buffers), 16)
	for i, b := range buffers {
		var flags, next uint16
		if b.Writable {
			flags |= Write
		}
		if i+1 < len(buffers) {
			flags |= Next
			next = uint16(i + 1)
		}
		putDesc(d.heap.Bytes(table+memory.GPA(16*i), 16), uint64(b.GPA), b.Len, flags, next)
	}
	id := d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	d.SetDesc(id, uint64(table), uint32(16*len(buffers)), Indirect, 0)
	d.chain[id] = []uint16{id}
	return id
}

// Used returns the next chain the device gave back, and how many bytes it says
// it wrote.
func (d *Driver) Used() (head uint16, n uint32, ok bool) {
	d.t.Helper()
	ring := d.heap.Bytes(d.Config.Used, 6+8*int(d.Config.Size))
	if memory.Load16(ring, 2) == d.used {
		return 0, 0, false
	}
	elem := ring[4+8*int(d.used%d.Config.Size):]
	d.used++
	id := binary.LittleEndian.Uint32(elem)
	ids, known := d.chain[uint16(id)]
	if !known || id > 0xffff {
		d.t.Fatalf("vqtest: device gave back chain %d, which it doesn't hold", id)
	}
	delete(d.chain, uint16(id))
	d.free = append(d.free, ids...)
	return uint16(id), binary.LittleEndian.Uint32(elem[4:]), true
}
