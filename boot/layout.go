package boot

import "github.com/bulkhead-vm/bulkhead/vmm/memory"

// What lies where in the first MiB. The kernel proper starts at 1 MiB or
// above.
const (
	gdtGPA        = memory.GPA(0x500)
	startInfoGPA  = memory.GPA(0x6000)
	zeroPageGPA   = memory.GPA(0x7000)
	stackGPA      = memory.GPA(0x8ff0)
	pageTablesGPA = memory.GPA(0x9000)
	rngSeedGPA    = memory.GPA(0xc000)
	cmdlineGPA    = memory.GPA(0x20000)
	tablesGPA     = memory.GPA(0x9fc00) // where an EBDA would be
	highMemory    = memory.GPA(0x100000)
)

// firmware is the range that the memory map withholds from the kernel.
func firmware() memory.Range {
	return memory.Range{Start: tablesGPA, Size: uint64(highMemory - tablesGPA)}
}
