// Package boot puts a kernel, its initrd, its command line and the tables it
// expects into guest memory, and says in which state the first processor
// starts. It knows nothing of KVM.
//
//	kernel file ─▶ elf | bzimage ─▶ params | pvh, acpi | mptable ─▶ Entry
package boot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/boot/acpi"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Protocol chooses how a kernel is entered.
type Protocol int

const (
	// Auto is the 64-bit Linux boot protocol where the kernel has it, else
	// PVH.
	Auto Protocol = iota
	// PVH enters an ELF kernel at its PVH note.
	PVH
)

// Config says what to boot.
type Config struct {
	Kernel  io.ReaderAt       // an ELF kernel or a bzImage
	Initrd  *io.SectionReader // nil: none
	Cmdline string
	CPUs    int // 0 means 1
	// ACPI is what the kernel is told of the machine by ACPI. nil: an MP table
	// tells it of processors and interrupts, and of the rest the command line
	// has to.
	ACPI *acpi.Config
	Protocol
}

// Load fills mem, which must be fresh, as c says. Errors name what doesn't fit
// or isn't a kernel; they don't wrap anything a caller could tell apart,
// except errors of reading the files.
func Load(mem *memory.Memory, c Config) (Entry, error) {
	if low := mem.Regions()[0]; low.Start != 0 || low.End() < highMemory {
		return Entry{}, fmt.Errorf("guest memory of %d bytes at %v: need the first MiB and more", low.Size, low.Start)
	}
	k, err := loadKernel(mem, c)
	if err != nil {
		return Entry{}, err
	}
	if err := loadCmdline(mem, c.Cmdline, k.maxCmdline); err != nil {
		return Entry{}, err
	}
	initrd, err := loadInitrd(mem, c.Initrd, k)
	if err != nil {
		return Entry{}, err
	}
	rsdp, err := loadTables(mem, max(c.CPUs, 1), c.ACPI)
	if err != nil {
		return Entry{}, err
	}
	if k.mode == ProtectedMode {
		return enterPVH(mem, k, initrd, rsdp)
	}
	return enterLinux(mem, k, initrd, rsdp, len(c.Cmdline))
}

func loadCmdline(mem *memory.Memory, cmdline string, most int) error {
	if len(cmdline) > most {
		return fmt.Errorf("kernel command line is %d bytes long, this kernel takes %d: shorten --cmdline or remove devices", len(cmdline), most)
	}
	for i := range len(cmdline) {
		if cmdline[i] == 0 {
			return errors.New("kernel command line has a NUL byte in it")
		}
	}
	return mem.WriteAt(append([]byte(cmdline), 0), cmdlineGPA)
}

// seed returns fresh randomness for the guest's generator.
func seed() (s [32]byte) {
	rand.Read(s[:]) // never fails
	return s
}
