// Package pvh builds the start info block of the PVH boot protocol, Xen's
// hvm_start_info (xen/include/public/arch-x86/hvm/start_info.h), version 1.
package pvh

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const (
	magic   = 0x336ec578
	version = 1

	startInfoSize = 56
	moduleSize    = 32
)

// MapEntry is one line of the memory map, with e820 types.
type MapEntry struct {
	memory.Range
	Type uint32
}

// StartInfo is what a PVH kernel is told.
type StartInfo struct {
	Cmdline memory.GPA
	Initrd  memory.Range // empty: none
	RSDP    memory.GPA   // 0: no ACPI tables
	Memory  []MapEntry
}

// Marshal returns the block for guest memory at gpa: start info, module list
// and memory map, one after the other.
func (s StartInfo) Marshal(gpa memory.GPA) []byte {
	modules, modulesAt := uint32(0), memory.GPA(0)
	mapAt := gpa + startInfoSize
	if s.Initrd.Size > 0 {
		modules, modulesAt = 1, gpa+startInfoSize
		mapAt += moduleSize
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, magic)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, 0) // flags
	b = le.AppendUint32(b, modules)
	b = le.AppendUint64(b, uint64(modulesAt))
	b = le.AppendUint64(b, uint64(s.Cmdline))
	b = le.AppendUint64(b, uint64(s.RSDP))
	b = le.AppendUint64(b, uint64(mapAt))
	b = le.AppendUint32(b, uint32(len(s.Memory)))
	b = le.AppendUint32(b, 0)
	if modules > 0 {
		b = le.AppendUint64(b, uint64(s.Initrd.Start))
		b = le.AppendUint64(b, s.Initrd.Size)
		b = append(b, make([]byte, 16)...) // the module's command line: none
	}
	for _, e := range s.Memory {
		b = le.AppendUint64(b, uint64(e.Start))
		b = le.AppendUint64(b, e.Size)
		b = le.AppendUint32(b, e.Type)
		b = le.AppendUint32(b, 0)
	}
	return b
}
