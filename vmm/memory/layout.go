package memory

import "fmt"

// GPA is a guest-physical address.
type GPA uint64

// String formats the address as x86 people write it.
func (a GPA) String() string { return fmt.Sprintf("%#x", uint64(a)) }

// The x86 address map: RAM from 0, a hole below 4 GiB for devices, the local
// APIC and the IOAPIC, and the rest of RAM above it.
const (
	PageSize  = 4096
	HoleStart = GPA(0xc000_0000)
	HoleEnd   = GPA(0x1_0000_0000)

	// MinSize is the smallest RAM a Linux guest of ours boots in.
	MinSize = 32 << 20
	// MaxSize keeps RAM inside 46 bits of physical address space, which
	// every x86-64 host of the last decade has.
	MaxSize = 1<<46 - uint64(HoleEnd)
)

// Range is a span of guest-physical address space.
type Range struct {
	Start GPA
	Size  uint64 // bytes
}

// End is the first address after the range.
func (r Range) End() GPA { return r.Start + GPA(r.Size) }

// SizeError reports a RAM size that no machine can have.
type SizeError struct{ Size uint64 }

func (e *SizeError) Error() string {
	switch {
	case e.Size < MinSize:
		return fmt.Sprintf("memory of %d bytes is too small: a guest needs at least %d MiB", e.Size, MinSize>>20)
	case e.Size > MaxSize:
		return fmt.Sprintf("memory of %d bytes is too large: at most %d TiB", e.Size, MaxSize>>40)
	}
	return fmt.Sprintf("memory of %d bytes is not a whole number of %d-byte pages", e.Size, PageSize)
}

// Layout places size bytes of RAM around the hole. It fails with *SizeError.
func Layout(size uint64) ([]Range, error) {
	if size < MinSize || size > MaxSize || size%PageSize != 0 {
		return nil, &SizeError{size}
	}
	if size <= uint64(HoleStart) {
		return []Range{{0, size}}, nil
	}
	return []Range{
		{0, uint64(HoleStart)},
		{HoleEnd, size - uint64(HoleStart)},
	}, nil
}
