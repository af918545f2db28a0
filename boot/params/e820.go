package params

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// E820Type says what a range of memory is good for.
type E820Type uint32

// Types of <asm/e820/types.h>.
const (
	RAM      E820Type = 1
	Reserved E820Type = 2
)

// E820Entry is one line of the memory map.
type E820Entry struct {
	memory.Range
	Type E820Type
}

// SetE820 writes the memory map.
func (p *Page) SetE820(entries []E820Entry) error {
	if len(entries) > maxE820Entries {
		return fmt.Errorf("memory map of %d entries, at most %d", len(entries), maxE820Entries)
	}
	le := binary.LittleEndian
	p[offE820Count] = byte(len(entries))
	for i, e := range entries {
		b := p[offE820Table+i*e820EntrySize:]
		le.PutUint64(b[0:], uint64(e.Start))
		le.PutUint64(b[8:], e.Size)
		le.PutUint32(b[16:], uint32(e.Type))
	}
	return nil
}

// E820 returns the memory map of a machine with the given RAM, of which the
// range reserved, inside the first region, holds firmware tables.
func E820(regions []memory.Region, reserved memory.Range) []E820Entry {
	low := regions[0].Range
	entries := []E820Entry{
		{memory.Range{Start: low.Start, Size: uint64(reserved.Start - low.Start)}, RAM},
		{reserved, Reserved},
		{memory.Range{Start: reserved.End(), Size: uint64(low.End() - reserved.End())}, RAM},
	}
	for _, r := range regions[1:] {
		entries = append(entries, E820Entry{r.Range, RAM})
	}
	return entries
}
