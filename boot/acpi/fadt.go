package acpi

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// The fixed ACPI description table; ACPI 6.4, section 5.2.9. All its registers
// of a PC are absent.
const (
	fadtSize     = 276
	fadtRevision = 6
	fadtMinor    = 4

	offBootArch     = 109
	offFlags        = 112
	offResetReg     = 116
	offResetValue   = 128
	offMinor        = 131
	offDSDT         = 140
	offSleepControl = 244
	offSleepStatus  = 256
	offHypervisor   = 268

	// Flags; table 5.10.
	flagWBINVD          = 1 << 0
	flagPowerButton     = 1 << 4 // not one of fixed hardware
	flagSleepButton     = 1 << 5 // the same
	flagResetReg        = 1 << 10
	flagHardwareReduced = 1 << 20

	// IA-PC boot architecture flags, table 5.11: neither a keyboard
	// controller nor any other legacy device.
	bootNoVGA  = 1 << 2
	bootNoCMOS = 1 << 5
)

func fadt(dsdt memory.GPA, p Power) []byte {
	le := binary.LittleEndian
	b := make([]byte, fadtSize)
	le.PutUint16(b[offBootArch:], bootNoVGA|bootNoCMOS)
	le.PutUint32(b[offFlags:], flagWBINVD|flagPowerButton|flagSleepButton|flagResetReg|flagHardwareReduced)
	putPort(b[offResetReg:], p.Reset)
	b[offResetValue] = p.ResetValue
	b[offMinor] = fadtMinor
	le.PutUint64(b[offDSDT:], uint64(dsdt))
	putPort(b[offSleepControl:], p.SleepControl)
	putPort(b[offSleepStatus:], p.SleepStatus)
	copy(b[offHypervisor:], oemTableID)
	return table("FACP", fadtRevision, b[headerSize:])
}

// putPort writes the generic address of an I/O port of one byte; ACPI 6.4,
// section 5.2.3.2.
func putPort(b []byte, port uint16) {
	const systemIO, bits, byteAccess = 1, 8, 1
	b[0], b[1], b[2], b[3] = systemIO, bits, 0, byteAccess
	binary.LittleEndian.PutUint64(b[4:], uint64(port))
}
