package boot

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/boot/acpi"
	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestRSDP: either protocol tells the kernel where the ACPI tables are, and they
// lie where the memory map has no RAM.
func TestRSDP(t *testing.T) {
	le := binary.LittleEndian
	pointers := map[Protocol]func(mem *memory.Memory, e Entry) uint64{
		Auto: func(mem *memory.Memory, e Entry) uint64 { return le.Uint64(read(t, mem, e.RSI+0x70, 8)) },
		PVH:  func(mem *memory.Memory, e Entry) uint64 { return le.Uint64(read(t, mem, e.RBX+32, 8)) },
	}
	for protocol, pointer := range pointers {
		mem := ram(64)
		c := Config{Kernel: boottest.File(boottest.ELF{Code: code(), PVH: 16 * mib}.Marshal()), CPUs: 32, Protocol: protocol}
		e, err := Load(mem, c)
		if err != nil {
			t.Fatal(err)
		}
		if rsdp := pointer(mem, e); rsdp != 0 {
			t.Errorf("without ACPI the RSDP is at %#x", rsdp)
		}
		c.ACPI = &acpi.Config{Devices: make([]acpi.Device, 19)}
		for i := range c.ACPI.Devices {
			c.ACPI.Devices[i] = acpi.VirtioMMIO{UID: i}
		}
		if e, err = Load(mem, c); err != nil {
			t.Fatal(err)
		}
		rsdp := memory.GPA(pointer(mem, e))
		if got := read(t, mem, rsdp, 8); string(got) != "RSD PTR " || rsdp < 0xe0000 || rsdp%16 != 0 {
			t.Errorf("at %v is %q", rsdp, got)
		}
		if f := firmware(); rsdp < f.Start || GenerationGPA < rsdp || GenerationGPA+memory.PageSize > f.End() {
			t.Errorf("tables at %v and a generation ID at %v are not in %+v", rsdp, GenerationGPA, f)
		}
	}
}

// TestTooManyDevices has tables that would reach into the generation ID.
func TestTooManyDevices(t *testing.T) {
	c := &acpi.Config{Devices: make([]acpi.Device, 2000)}
	for i := range c.Devices {
		c.Devices[i] = acpi.VirtioMMIO{UID: i}
	}
	_, err := Load(ram(64), Config{Kernel: boottest.File(boottest.ELF{Code: code()}.Marshal()), ACPI: c})
	if err == nil || !strings.Contains(err.Error(), "remove devices") {
		t.Errorf("error is %v", err)
	}
}
