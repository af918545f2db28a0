package vqtest

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Again makes chains from Prepare available together, for benchmarks: each
// costs the driver two bytes of the ring. All that were available before must
// be back; who calls it doesn't call Used.
func (d *Driver) Again(heads []uint16) {
	ring := d.inPlace(d.Config.Avail, 4+2*int(d.Config.Size))
	for i, head := range heads {
		at := int(d.avail+uint16(i)) & int(d.Config.Size-1)
		binary.LittleEndian.PutUint16(ring[4+2*at:], head)
	}
	d.avail += uint16(len(heads))
	memory.Store16(ring, 2, d.avail)
}

// AllBack reports whether the device has given every chain back.
func (d *Driver) AllBack() bool {
	d.used = memory.Load16(d.inPlace(d.Config.Used, 4), 2)
	return d.used == d.avail
}

// inPlace is Heap.Bytes without what the testing package does for a good error.
func (d *Driver) inPlace(gpa memory.GPA, n int) []byte {
	b, err := d.Mem.Slice(gpa, uint64(n))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}
