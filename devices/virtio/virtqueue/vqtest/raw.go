package vqtest

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// SetDesc writes descriptor i as it is told, sense or not.
func (d *Driver) SetDesc(i uint16, addr uint64, n uint32, flags, next uint16) {
	d.t.Helper()
	putDesc(d.heap.Bytes(d.Config.Desc+memory.GPA(16*int(i)), 16), addr, n, flags, next)
}

func putDesc(b []byte, addr uint64, n uint32, flags, next uint16) {
	binary.LittleEndian.PutUint64(b, addr)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

// Publish puts head into the next slot of the available ring and moves its
// index.
func (d *Driver) Publish(head uint16) {
	d.t.Helper()
	ring := d.availRing()
	binary.LittleEndian.PutUint16(ring[4+2*int(d.avail%d.Config.Size):], head)
	d.avail++
	memory.Store16(ring, 2, d.avail)
}

// SetAvailIndex moves the available ring's index anywhere.
func (d *Driver) SetAvailIndex(v uint16) {
	d.t.Helper()
	d.avail = v
	memory.Store16(d.availRing(), 2, v)
}

// SetAvailFlags writes the available ring's flags.
func (d *Driver) SetAvailFlags(v uint16) {
	d.t.Helper()
	memory.Store16(d.availRing(), 0, v)
}

// SetUsedEvent says after which used entry an interrupt is wanted.
func (d *Driver) SetUsedEvent(v uint16) {
	d.t.Helper()
	memory.Store16(d.availRing(), 4+2*int(d.Config.Size), v)
}

// AvailEvent returns after which available entry the device wants a kick.
func (d *Driver) AvailEvent() uint16 {
	d.t.Helper()
	return memory.Load16(d.heap.Bytes(d.Config.Used, 6+8*int(d.Config.Size)), 4+8*int(d.Config.Size))
}

// UsedFlags returns the used ring's flags.
func (d *Driver) UsedFlags() uint16 {
	d.t.Helper()
	return memory.Load16(d.heap.Bytes(d.Config.Used, 4), 0)
}

func (d *Driver) availRing() []byte {
	return d.heap.Bytes(d.Config.Avail, 6+2*int(d.Config.Size))
}
