package elf

import (
	"encoding/binary"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const (
	// notePhys32Entry is XEN_ELFNOTE_PHYS32_ENTRY of Xen's elfnote.h; the
	// PVH boot protocol starts there.
	notePhys32Entry = 18
	noteOwner       = "Xen\x00"
	noteHeaderSize  = 12
	maxNotes        = 1 << 20 // bytes of a PT_NOTE segment that are looked at
)

// readPVHNote returns the PVH entry point among the notes of s, 0 if there is
// none.
func readPVHNote(f io.ReaderAt, s segment) (memory.GPA, error) {
	notes := make([]byte, min(s.filesz, maxNotes))
	if err := readFull(f, notes, s.offset, "notes"); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	for len(notes) >= noteHeaderSize {
		nameLen, descLen, kind := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		notes = notes[noteHeaderSize:]
		nameEnd := align4(nameLen)
		end := nameEnd + align4(descLen)
		if end > uint64(len(notes)) {
			break
		}
		name, desc := notes[:nameLen], notes[nameEnd:nameEnd+descLen]
		if kind == notePhys32Entry && string(name) == noteOwner {
			switch len(desc) {
			case 4:
				return memory.GPA(le.Uint32(desc)), nil
			case 8:
				return memory.GPA(le.Uint64(desc)), nil
			}
		}
		notes = notes[end:]
	}
	return 0, nil
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }
