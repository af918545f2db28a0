package boot

import "github.com/bulkhead-vm/bulkhead/vmm/memory"

// Mode is the processor mode a boot protocol starts in.
type Mode int

const (
	// LongMode is 64-bit with paging: Linux's 64-bit boot protocol.
	LongMode Mode = iota
	// ProtectedMode is 32-bit without paging: PVH.
	ProtectedMode
)

// Entry is the state of the first processor at the kernel's first instruction.
// What it doesn't name is as after reset, interrupts off.
type Entry struct {
	Mode Mode
	RIP  memory.GPA
	RSP  memory.GPA
	RSI  memory.GPA // LongMode: the zero page
	RBX  memory.GPA // ProtectedMode: the start info
	CR3  memory.GPA // LongMode: the page tables
	// GDT is the table at GDTBase, out of which the selectors below choose.
	GDT        []Descriptor
	GDTBase    memory.GPA
	CS, DS, TR uint16
}
