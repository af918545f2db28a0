package boot

import "encoding/binary"

// Descriptor is a segment descriptor; Intel SDM volume 3, section 3.4.5.
type Descriptor uint64

// Selectors of the table below; the 64-bit boot protocol of Linux asks for
// code at 0x10 and data at 0x18.
const (
	selectorCode = 0x10
	selectorData = 0x18
	selectorTask = 0x20
)

// Attributes: the access byte, and above it the flags nibble.
const (
	attrCode64 = 0xa09b // present, code, readable, accessed; 4 KiB units, 64-bit
	attrCode32 = 0xc09b // the same, 32-bit
	attrData   = 0xc093 // present, data, writable, accessed; 4 KiB units
	attrTask   = 0x808b // present, busy 64-bit (or 32-bit) TSS
)

// gdt returns flat segments for the mode.
func gdt(mode Mode) []Descriptor {
	code := Descriptor(attrCode64)
	if mode == ProtectedMode {
		code = attrCode32
	}
	return []Descriptor{
		0,
		0,
		flat(code),
		flat(attrData),
		flat(attrTask),
	}
}

// flat places attributes and a limit of 4 GiB.
func flat(attr Descriptor) Descriptor {
	return 0x000f_0000_0000_ffff | attr&0xff<<40 | attr>>12<<52
}

func marshalGDT(table []Descriptor) []byte {
	var b []byte
	for _, d := range table {
		b = binary.LittleEndian.AppendUint64(b, uint64(d))
	}
	return b
}

// Limit returns the segment's last byte.
func (d Descriptor) Limit() uint32 {
	limit := uint32(d&0xffff) | uint32(d>>48&0xf)<<16
	if d>>55&1 != 0 {
		limit = limit<<12 | 0xfff
	}
	return limit
}

// Base returns the segment's first byte.
func (d Descriptor) Base() uint64 { return uint64(d>>16&0xffffff | d>>56<<24) }

// Bits returns n bits of the descriptor from bit shift on.
func (d Descriptor) Bits(shift, n uint) uint8 { return uint8(d >> shift & (1<<n - 1)) }
