package pci

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/devices/pci"
)

// Types of structure; section 4.1.4.
const (
	typeCommon = 1
	typeNotify = 2
	typeISR    = 3
	typeDevice = 4
	typeWindow = 5
)

// structure is a part of BAR 0 that a capability announces.
type structure struct {
	kind           uint8
	offset, length uint32
}

// structures are those of section 4.1.4 but for the window into the others.
func (t *Transport) structures() []structure {
	return []structure{
		{typeCommon, commonOffset, commonSize},
		{typeISR, isrOffset, 1},
		{typeDevice, deviceOffset, pageSize},
		{typeNotify, notifyOffset, uint32(t.QueueCount() * notifyMultiplier)},
	}
}

func (t *Transport) capabilities() []pci.Capability {
	all := []pci.Capability{t.msix}
	for _, s := range t.structures() {
		var extra []byte
		if s.kind == typeNotify {
			extra = binary.LittleEndian.AppendUint32(nil, notifyMultiplier)
		}
		all = append(all, s.capability(extra...))
	}
	return append(all, t.window)
}

// Fields of struct virtio_pci_cap; section 4.1.4.
const (
	capLength    = 2
	capType      = 3
	capBAR       = 4
	capOffset    = 8
	capLengthOf  = 12 // of the structure
	capSize      = 16
	capabilityID = 0x09 // vendor-specific; PCI 3.0, appendix H
)

// capability returns the structure's entry in the capability list.
func (s structure) capability(extra ...byte) location {
	b := make(location, capSize, capSize+len(extra))
	b[capLength] = uint8(capSize + len(extra))
	b[capType] = s.kind
	binary.LittleEndian.PutUint32(b[capOffset:], s.offset)
	binary.LittleEndian.PutUint32(b[capLengthOf:], s.length)
	return append(b, extra...)
}

// location is a capability that a guest can only read, its ID and pointer left
// out.
type location []byte

func (location) ID() uint8 { return capabilityID }

func (l location) Size() int { return len(l) }

func (l location) Read(offset uint64, data []byte) { copy(data, l[offset:]) }

func (location) Write(uint64, []byte) {}
