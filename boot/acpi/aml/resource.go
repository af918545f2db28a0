package aml

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// Resource is an encoded resource descriptor; ACPI 6.4, section 6.4.
type Resource []byte

// Resource descriptors' tags.
const (
	tagIO             = 0x47 // section 6.4.2.5, with its length
	tagEnd            = 0x79 // section 6.4.2.9, with its length
	tagMemory32Fixed  = 0x86 // section 6.4.3.4
	tagDWordSpace     = 0x87 // section 6.4.3.5.2
	tagWordSpace      = 0x88 // section 6.4.3.5.3
	tagInterrupt      = 0x89 // section 6.4.3.6
	ioDecode16        = 1 << 0
	memoryReadWrite   = 1 << 0
	interruptConsumer = 1 << 0
	interruptEdge     = 1 << 1
)

// Resources is a template of resources: a buffer of descriptors with an end tag.
func Resources(resources ...Resource) Term {
	end := []byte{tagEnd, 0} // a checksum of zero stands for a good one
	return buffer(append(slices.Concat(resources...), end...))
}

// Memory is a fixed range of 32-bit memory addresses, to be read and written.
func Memory(start, size uint32) Resource {
	b := Resource{tagMemory32Fixed, 9, 0, memoryReadWrite}
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, start), size)
}

// Kinds and flags of address space descriptors.
const (
	spaceMemory = 0
	spaceBus    = 2
	// The ends are fixed; what is described is not the device's own, but what
	// it leads to.
	spaceFixed = 1<<2 | 1<<3
)

// MemoryWindow is 32-bit memory, to be read and written and not to be cached,
// that a bus's devices are in.
func MemoryWindow(start, size uint32) Resource {
	b := Resource{tagDWordSpace, 23, 0, spaceMemory, spaceFixed, memoryReadWrite}
	for _, v := range []uint32{0, start, start + size - 1, 0, size} { // granularity, ends, translation, length
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// BusNumbers are those of the PCI buses from first to last.
func BusNumbers(first, last uint16) Resource {
	b := Resource{tagWordSpace, 13, 0, spaceBus, spaceFixed, 0}
	for _, v := range []uint16{0, first, last, 0, last - first + 1} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// Interrupt is a global system interrupt of the device's own, edge-triggered
// and active high.
func Interrupt(gsi uint32) Resource {
	b := Resource{tagInterrupt, 6, 0, interruptConsumer | interruptEdge, 1}
	return binary.LittleEndian.AppendUint32(b, gsi)
}

// Ports is a fixed range of I/O ports.
func Ports(start uint16, count uint8) Resource {
	b := Resource{tagIO, ioDecode16}
	b = binary.LittleEndian.AppendUint16(b, start) // the lowest it can be at
	b = binary.LittleEndian.AppendUint16(b, start) // and the highest
	return append(b, 1, count)
}

// EISAID is a Plug and Play identifier such as PNP0501, three capital letters
// and four hexadecimal digits, as the number that stands for it in a _HID;
// section 6.1.5. Of anything else it makes no sense.
func EISAID(id string) Term {
	var letters, digits uint64
	for i := range min(3, len(id)) {
		letters = letters<<5 | uint64(id[i]-'@')&0x1f
	}
	if len(id) > 3 {
		digits, _ = strconv.ParseUint(id[3:], 16, 16)
	}
	// Big endian, unlike everything else.
	b := binary.BigEndian.AppendUint32(nil, uint32(letters<<16|digits))
	return append(Term{opDWord}, b...)
}
