// Package i8042 answers the one command of the PC's keyboard controller that
// guests without ACPI need: the processor reset by which Linux reboots
// (reboot=k).
package i8042

// The controller's ports, both of one byte.
const (
	PortData    = 0x60
	PortCommand = 0x64
	// PortCount spans from PortData to PortCommand.
	PortCount = PortCommand - PortData + 1
)

// cmdReset pulses the processor's reset line.
const cmdReset = 0xfe

// Controller is a keyboard controller without keyboard or mouse. It is a
// bus.Handler for the ports from PortData on.
type Controller struct {
	reset func()
}

// New returns a controller that calls reset, on the vCPU's own goroutine, when
// the guest asks for one.
func New(reset func()) *Controller { return &Controller{reset} }

// Read answers with zeroes: nothing typed, and ready for a command.
func (c *Controller) Read(offset uint64, data []byte) { clear(data) }

// Write takes a command.
func (c *Controller) Write(offset uint64, data []byte) {
	if offset == PortCommand-PortData && len(data) == 1 && data[0] == cmdReset {
		c.reset()
	}
}
