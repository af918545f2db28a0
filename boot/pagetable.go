package boot

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Page table entry bits; Intel SDM volume 3, section 4.5.
const (
	ptePresent  = 1 << 0
	pteWritable = 1 << 1
	pteLarge    = 1 << 7
)

// identityMap returns three pages for guest memory at gpa: a PML4, a page
// directory pointer table and a page directory that map the first GiB onto
// itself in 2 MiB pages, as the 64-bit boot protocol demands.
func identityMap(gpa memory.GPA) []byte {
	const page = memory.PageSize
	le := binary.LittleEndian
	b := make([]byte, 3*page)
	le.PutUint64(b, uint64(gpa+page)|ptePresent|pteWritable)
	le.PutUint64(b[page:], uint64(gpa+2*page)|ptePresent|pteWritable)
	for i := range 512 {
		le.PutUint64(b[2*page+8*i:], uint64(i)<<21|ptePresent|pteWritable|pteLarge)
	}
	return b
}
