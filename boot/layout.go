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
	mpTableGPA    = memory.GPA(0x9fc00) // where an EBDA would be
	acpiGPA       = memory.GPA(0xe0000) // where kernels look for the RSDP; ACPI 6.4, section 5.2.5.1
	highMemory    = memory.GPA(0x100000)
)

// GenerationGPA is where a machine may have its generation ID: a page of RAM that
// the memory map withholds from the kernel, and nothing else is in.
const GenerationGPA = memory.GPA(0xf0000)

// firmware is the range that the memory map withholds from the kernel.
func firmware() memory.Range {
	return memory.Range{Start: mpTableGPA, Size: uint64(highMemory - mpTableGPA)}
}
