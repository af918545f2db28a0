package acpi

import "encoding/binary"

// The multiple APIC description table; ACPI 6.4, section 5.2.12.
const (
	madtRevision = 5

	localAPIC = 0xfee00000
	ioAPIC    = 0xfec00000

	// Entries: type and length.
	entryLocalAPIC = 0 // section 5.2.12.2
	entryIOAPIC    = 1 // section 5.2.12.3
	entryLocalNMI  = 4 // section 5.2.12.7

	cpuEnabled    = 1 << 0
	allProcessors = 0xff
	lint1         = 1
)

// madt describes the processors and the interrupt controllers, among which are
// no 8259s: its flags are zero.
func madt(cpus int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, localAPIC)
	b = le.AppendUint32(b, 0) // flags
	for id := range cpus {
		b = append(b, entryLocalAPIC, 8, byte(id), byte(id))
		b = le.AppendUint32(b, cpuEnabled)
	}
	b = append(b, entryIOAPIC, 12, 0, 0)
	b = le.AppendUint32(b, ioAPIC)
	b = le.AppendUint32(b, 0) // its first global system interrupt
	b = append(b, entryLocalNMI, 6, allProcessors, 0, 0, lint1)
	return table("APIC", madtRevision, b)
}
