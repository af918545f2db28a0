// Package elf loads an uncompressed kernel (vmlinux) into guest memory.
package elf

import (
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Kernel is a loaded ELF kernel.
type Kernel struct {
	// Entry is the file's entry point, which in a Linux vmlinux is the
	// guest-physical address of the 64-bit boot protocol's entry.
	Entry memory.GPA
	// PVH is the 32-bit entry of the PVH boot protocol, 0 if the file has
	// no such note.
	PVH memory.GPA
	// Start and End bound the kernel with its uninitialised data.
	Start, End memory.GPA
}

// Load reads the segments of f into mem at their physical addresses. Errors
// say whether the file is truncated, for another architecture, or too large
// for the memory. Memory is in an undefined state after an error.
func Load(mem *memory.Memory, f io.ReaderAt) (Kernel, error) {
	h, err := readHeader(f)
	if err != nil {
		return Kernel{}, err
	}
	segments, err := readSegments(f, h)
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Entry: h.entry, Start: ^memory.GPA(0)}
	for _, s := range segments {
		switch s.kind {
		case ptLoad:
			if err := loadSegment(mem, f, s); err != nil {
				return Kernel{}, err
			}
			k.Start = min(k.Start, s.paddr)
			k.End = max(k.End, s.paddr+memory.GPA(s.memsz))
		case ptNote:
			if pvh, err := readPVHNote(f, s); err != nil {
				return Kernel{}, err
			} else if pvh != 0 {
				k.PVH = pvh
			}
		}
	}
	if k.End == 0 {
		return Kernel{}, fmt.Errorf("ELF file has nothing to load")
	}
	return k, nil
}

// Contains reports whether gpa lies inside the loaded kernel.
func (k Kernel) Contains(gpa memory.GPA) bool { return gpa >= k.Start && gpa < k.End }

func loadSegment(mem *memory.Memory, f io.ReaderAt, s segment) error {
	if s.filesz > s.memsz {
		return fmt.Errorf("ELF segment at %v has more bytes in the file (%d) than in memory (%d)", s.paddr, s.filesz, s.memsz)
	}
	mem.Populate(memory.Range{Start: s.paddr, Size: s.filesz})
	dst, err := mem.Slice(s.paddr, s.memsz)
	if err != nil {
		return fmt.Errorf("kernel segment does not fit into guest memory (give it more with --memory): %w", err)
	}
	// The rest of dst, the kernel's .bss, is zero as fresh memory is.
	return readFull(f, dst[:s.filesz], s.offset, "segments")
}
