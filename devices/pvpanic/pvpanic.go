// Package pvpanic hears from a guest's kernel that it panicked: the pvpanic
// device of QEMU's docs/specs/pvpanic.rst, on its ISA port.
package pvpanic

// Port is where the device is, one byte wide.
const Port = 0x505

// Events a guest may report, as bits of the byte it writes.
const (
	Panicked     = 1 << 0
	eventCrashed = 1 << 1 // panicked, and a crash kernel takes over
)

// Device is a bus.Handler of one byte.
type Device struct {
	panicked func()
}

// New returns a device that calls panicked, on the vCPU's own goroutine, when
// the guest reports its end. A guest that goes on into a crash kernel doesn't
// count.
func New(panicked func()) *Device { return &Device{panicked} }

// Read tells the guest which events may be reported.
func (d *Device) Read(offset uint64, data []byte) {
	clear(data)
	data[0] = Panicked | eventCrashed
}

// Write takes events.
func (d *Device) Write(offset uint64, data []byte) {
	if data[0]&Panicked != 0 {
		d.panicked()
	}
}
