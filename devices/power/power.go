// Package power has the switches by which a guest turns its machine off and
// resets it: the registers of hardware-reduced ACPI (ACPI 6.4, sections 4.8.3.6
// and 4.8.3.7). A guest without ACPI can write the same ports.
package power

// Ports of the registers, one byte each.
const (
	PortControl = 0x600
	PortStatus  = 0x601
	PortReset   = 0x602
	PortCount   = 3
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

// Reset is what to write to PortReset to reset the machine.
const Reset = 1

// Switch is a bus.Handler for the ports from PortControl on. It has no state.
type Switch struct {
	off, reset func()
}

// New returns a switch that calls off or reset, on the vCPU's own goroutine,
// when the guest turns the machine off or resets it.
func New(off, reset func()) *Switch { return &Switch{off, reset} }

// Read answers zero: no sleep under way, none ended.
func (s *Switch) Read(offset uint64, data []byte) { clear(data) }

// Write takes a register; any other value than the two above does nothing, nor
// does more than a byte (ACPI 6.4, section 4.8.3.7: the registers are bytes).
func (s *Switch) Write(offset uint64, data []byte) {
	if len(data) != 1 {
		return
	}
	switch v := data[0]; PortControl + offset {
	case PortControl:
		if v&sleepEnable != 0 && v>>sleepTypeShift&sleepTypeMask == TypeOff {
			s.off()
		}
	case PortReset:
		if v == Reset {
			s.reset()
		}
	}
}
