package tinyguest

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Where things are in the guest's memory. The boot loader has left what it left
// below 0x30000; the guest needs nothing of it but the command line.
const (
	zeroPageGPA   = 0x7000 // of the boot protocol
	trampolineGPA = 0x30000
	pageTablesGPA = 0x40000
	codeGPA       = 0x1000000
	stepsGPA      = 0x1100000 // of the first processor; those of the second one follow
	stepsSize     = 0x100000

	// FreeGPA is where memory begins that is a test's own.
	FreeGPA = memory.GPA(0x1300000)
	// Mapped is how much of the address space the guest reaches.
	Mapped = 8 << 30
)

// Page table entry bits; Intel SDM volume 3, section 4.5.
const (
	ptePresent  = 1 << 0
	pteWritable = 1 << 1
	pteLarge    = 1 << 7
	pageSize    = 4096
	gib         = 1 << 30
)

// pageTables map the first Mapped bytes onto themselves, in pages of 2 MiB: a
// PML4, a PDPT, and a page directory for each GiB.
func pageTables() []byte {
	le := binary.LittleEndian
	b := make([]byte, (2+Mapped/gib)*pageSize)
	le.PutUint64(b, pageTablesGPA+pageSize|ptePresent|pteWritable)
	for i := range uint64(Mapped / gib) {
		directory := (2 + i) * pageSize
		le.PutUint64(b[pageSize+8*i:], pageTablesGPA+directory|ptePresent|pteWritable)
		for j := range uint64(512) {
			le.PutUint64(b[directory+8*j:], i*gib+j<<21|ptePresent|pteWritable|pteLarge)
		}
	}
	return b
}
