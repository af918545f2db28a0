// Package acpi builds the tables of a machine without the legacy of a PC:
// hardware-reduced ACPI 6.4, in which all there is are registers to sleep and
// reset by, and events that come as interrupts.
//
//	RSDP ─▶ XSDT ─▶ FADT ─▶ DSDT: devices
//	             └▶ MADT: processors, interrupt controllers
package acpi

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Config is what a machine has beside processors and interrupt controllers.
type Config struct {
	Power Power
	// Devices are what the operating system doesn't find by itself. It
	// looks at them in this order.
	Devices []Device
}

// Power are the I/O ports, of one byte each, by which the machine is turned off
// and reset.
type Power struct {
	SleepControl, SleepStatus, Reset uint16

	SleepOff   uint8 // the sleep type of S5
	ResetValue uint8 // what to write to Reset
}

// Build returns the tables for guest memory at gpa, 16-byte aligned and below 4
// GiB. The RSDP comes first. Processors, 255 at most, have APIC IDs 0 to cpus-1,
// and the IOAPIC's pins are the global system interrupts from 0.
func Build(gpa memory.GPA, cpus int, c Config) []byte {
	b := make([]byte, rsdpSize)
	place := func(table []byte) memory.GPA {
		b = append(b, make([]byte, -len(b)&7)...)
		at := gpa + memory.GPA(len(b))
		b = append(b, table...)
		return at
	}
	dsdtGPA := place(dsdt(c.Devices, c.Power.SleepOff))
	fadtGPA := place(fadt(dsdtGPA, c.Power))
	madtGPA := place(madt(cpus))
	xsdtGPA := place(xsdt(fadtGPA, madtGPA))
	copy(b, rsdp(xsdtGPA))
	return b
}

// The root system description pointer; ACPI 6.4, section 5.2.5.3.
const (
	rsdpSize      = 36
	rsdpSizeFirst = 20 // what the first checksum covers
	rsdpRevision  = 2
)

func rsdp(xsdt memory.GPA) []byte {
	b := make([]byte, rsdpSize)
	copy(b, "RSD PTR ")
	copy(b[9:], oemID)
	b[15] = rsdpRevision
	binary.LittleEndian.PutUint32(b[20:], rsdpSize)
	binary.LittleEndian.PutUint64(b[24:], uint64(xsdt))
	b[8] = checksum(b[:rsdpSizeFirst])
	b[32] = checksum(b)
	return b
}

// xsdt lists the other tables; ACPI 6.4, section 5.2.8.
func xsdt(tables ...memory.GPA) []byte {
	var b []byte
	for _, gpa := range tables {
		b = binary.LittleEndian.AppendUint64(b, uint64(gpa))
	}
	return table("XSDT", 1, b)
}
