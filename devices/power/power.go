// Package power is the switch by which a guest turns its machine off: the
// sleep registers of hardware-reduced ACPI (ACPI 6.5, section 4.8.3.7). A
// guest without ACPI can write the same port.
package power

// Ports of the registers, one byte each.
const (
	PortControl = 0x600
	PortStatus  = 0x601
	PortCount   = 2
)

// The sleep control register.
const (
	sleepEnable    = 1 << 5
	sleepTypeShift = 2
	sleepTypeMask  = 7
	// TypeOff is the sleep type of S5, soft off, that this machine's tables
	// announce.
	TypeOff = 5
	// Off is what to write to PortControl to turn the machine off.
	Off = sleepEnable | TypeOff<<sleepTypeShift
)

// Switch is a bus.Handler for the ports from PortControl on.
type Switch struct {
	off func()
}

// New returns a switch that calls off, on the vCPU's own goroutine, when the
// guest turns the machine off.
func New(off func()) *Switch { return &Switch{off} }

// Read answers zero: no sleep under way, none ended.
func (s *Switch) Read(offset uint64, data []byte) { clear(data) }

// Write takes the control register; any other sleep type than S5 does nothing.
func (s *Switch) Write(offset uint64, data []byte) {
	if offset != 0 || len(data) != 1 {
		return
	}
	if v := data[0]; v&sleepEnable != 0 && v>>sleepTypeShift&sleepTypeMask == TypeOff {
		s.off()
	}
}
