// Package mptable builds the tables of the MultiProcessor Specification 1.4,
// by which a guest without ACPI finds its processors and its IOAPIC.
package mptable

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

const (
	floatingSize = 16 // the pointer structure, section 4.1
	headerSize   = 44 // the configuration table's header, section 4.2
	revision     = 4  // 1.4

	// Entry types, table 4-3.
	entryProcessor   = 0
	entryBus         = 1
	entryIOAPIC      = 2
	entryIOInterrupt = 3
	entryLocalInt    = 4

	localAPIC   = 0xfee00000
	ioAPIC      = 0xfec00000
	apicVersion = 0x14
	ioAPICPins  = 24

	cpuEnabled    = 1 << 0
	cpuBootstrap  = 1 << 1
	cpuSignature  = 0x600
	cpuFPU        = 1 << 0
	cpuAPIC       = 1 << 9
	ioAPICEnabled = 1 << 0
	interruptINT  = 0
	interruptNMI  = 1
	interruptEXT  = 3
	allLocalAPICs = 0xff
	busISA        = 0
)

// MaxCPUs is how many processors with 8-bit APIC IDs fit beside the IOAPIC.
const MaxCPUs = 254

// Build returns the tables for guest memory at gpa, 16-byte aligned: the
// floating pointer followed by the configuration table. Processors have APIC
// IDs 0 to cpus-1, and ISA interrupts lead to the IOAPIC pin of their number.
func Build(gpa memory.GPA, cpus int) []byte {
	t := &table{}
	for id := range cpus {
		t.processor(byte(id), id == 0)
	}
	t.add(entryBus, busISA, 'I', 'S', 'A', ' ', ' ', ' ')
	t.ioAPIC(byte(cpus))
	for pin := range byte(ioAPICPins) {
		t.interrupt(entryIOInterrupt, interruptINT, pin, byte(cpus), pin)
	}
	t.interrupt(entryLocalInt, interruptEXT, 0, 0, 0)             // LINT0: the PIC
	t.interrupt(entryLocalInt, interruptNMI, 0, allLocalAPICs, 1) // LINT1
	return append(floatingPointer(gpa+floatingSize), t.marshal()...)
}

func floatingPointer(config memory.GPA) []byte {
	b := make([]byte, floatingSize)
	copy(b, "_MP_")
	binary.LittleEndian.PutUint32(b[4:], uint32(config))
	b[8] = floatingSize / 16
	b[9] = revision
	b[10] = checksum(b)
	return b
}

// table collects the entries of a configuration table.
type table struct {
	entries []byte
	count   uint16
}

func (t *table) add(b ...byte) {
	t.entries = append(t.entries, b...)
	t.count++
}

func (t *table) processor(apicID byte, bootstrap bool) {
	flags := byte(cpuEnabled)
	if bootstrap {
		flags |= cpuBootstrap
	}
	b := []byte{entryProcessor, apicID, apicVersion, flags}
	b = binary.LittleEndian.AppendUint32(b, cpuSignature)
	b = binary.LittleEndian.AppendUint32(b, cpuFPU|cpuAPIC)
	t.add(append(b, make([]byte, 8)...)...)
}

func (t *table) ioAPIC(id byte) {
	t.add(binary.LittleEndian.AppendUint32([]byte{entryIOAPIC, id, apicVersion, ioAPICEnabled}, ioAPIC)...)
}

// interrupt adds an interrupt assignment with the polarity and trigger mode of
// its bus.
func (t *table) interrupt(entry, kind, sourceIRQ, destAPIC, destPin byte) {
	t.add(entry, kind, 0, 0, busISA, sourceIRQ, destAPIC, destPin)
}

func (t *table) marshal() []byte {
	le := binary.LittleEndian
	b := make([]byte, headerSize, headerSize+len(t.entries))
	copy(b, "PCMP")
	le.PutUint16(b[4:], uint16(headerSize+len(t.entries)))
	b[6] = revision
	copy(b[8:], "BULKHEAD")
	copy(b[16:], "MICROVM     ")
	le.PutUint16(b[34:], t.count)
	le.PutUint32(b[36:], localAPIC)
	b = append(b, t.entries...)
	b[7] = checksum(b)
	return b
}

// checksum returns the byte that makes b add up to zero.
func checksum(b []byte) (sum byte) {
	for _, v := range b {
		sum -= v
	}
	return sum
}
