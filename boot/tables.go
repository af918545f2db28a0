package boot

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/boot/acpi"
	"github.com/bulkhead-vm/bulkhead/boot/mptable"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// loadTables describes the machine to the kernel. The MP table is there with
// ACPI too: Linux looks for one in any case, and where it finds none right away
// it maps and unmaps thousands of places, which took a quarter of a boot where
// guest kernels are emulated. It returns where the RSDP is, 0 if there is none.
func loadTables(mem *memory.Memory, cpus int, c *acpi.Config) (rsdp memory.GPA, err error) {
	if cpus > mptable.MaxCPUs {
		return 0, fmt.Errorf("%d CPUs: an MP table describes at most %d", cpus, mptable.MaxCPUs)
	}
	if err := mem.WriteAt(mptable.Build(mpTableGPA, cpus), mpTableGPA); err != nil {
		return 0, err
	}
	if c == nil {
		return 0, nil
	}
	tables := acpi.Build(acpiGPA, cpus, *c)
	if room := int(GenerationGPA - acpiGPA); len(tables) > room {
		return 0, fmt.Errorf("ACPI tables of %d bytes, at most %d: remove devices", len(tables), room)
	}
	return acpiGPA, mem.WriteAt(tables, acpiGPA)
}
