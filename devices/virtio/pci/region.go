package pci

import "github.com/bulkhead-vm/bulkhead/devices/eventfd"

// region is BAR 0.
type region Transport

// Size implements pci.Region.
func (*region) Size() uint32 { return regionSize }

// Read implements pci.Region. Where nothing is, a guest reads zeroes.
func (r *region) Read(offset uint64, data []byte) {
	clear(data)
	t, in := (*Transport)(r), offset%pageSize
	if in+uint64(len(data)) > pageSize {
		return // over two structures
	}
	switch offset - in {
	case commonOffset:
		t.readCommon(in, data)
	case isrOffset:
		if in == 0 {
			data[0] = uint8(t.isr.Swap(0)) // section 4.1.4.5.1: a read resets it
		}
	case deviceOffset:
		t.readDevice(in, data)
	case tableOffset:
		t.msix.ReadTable(in, data)
	case pbaOffset:
		t.msix.ReadPBA(in, data)
	}
}

// Write implements pci.Region. Where nothing is, writes are lost.
func (r *region) Write(offset uint64, data []byte) {
	t, in := (*Transport)(r), offset%pageSize
	if in+uint64(len(data)) > pageSize {
		return
	}
	switch offset - in {
	case commonOffset:
		t.writeCommon(in, data)
	case deviceOffset:
		t.Device().WriteConfig(in, data)
	case notifyOffset:
		if in%notifyMultiplier == 0 { // section 4.1.5.2; the address says which queue
			t.Kick(uint32(in / notifyMultiplier))
		}
	case tableOffset:
		t.msix.WriteTable(in, data)
	}
}

// readDevice reads the device-specific configuration. Section 4.1.4.3.1: the
// generation is another after the driver has read something new.
func (t *Transport) readDevice(offset uint64, data []byte) {
	t.Device().ReadConfig(offset, data)
	if now := t.Generation(); t.seen.Swap(now) != now {
		t.generation.Add(1)
	}
}

// doorbell is one that is attached at a guest address.
type doorbell struct {
	gpa  uint64
	kick *eventfd.EventFD
}

// Map implements pci.Region. A doorbell that can't be attached rings by a
// write to the region, which takes longer.
func (r *region) Map(gpa uint64) {
	for queue, kick := range r.Kicks() {
		d := doorbell{gpa + notifyOffset + uint64(queue)*notifyMultiplier, kick}
		if r.platform.AttachDoorbell(d.gpa, d.kick) == nil {
			r.doorbells = append(r.doorbells, d)
		}
	}
}

// Unmap implements pci.Region.
func (r *region) Unmap() {
	for _, d := range r.doorbells {
		r.platform.DetachDoorbell(d.gpa, d.kick) // was attached: can't fail
	}
	r.doorbells = r.doorbells[:0]
}
