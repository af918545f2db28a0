package machine

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// guest makes a machine that runs code as its kernel, in long mode, interrupts
// off and without any handlers: whatever it catches is a triple fault.
func guest(t *testing.T, c Config, code ...[]byte) *Machine {
	t.Helper()
	c.Kernel = boottest.File(boottest.ELF{Code: slices.Concat(code...)}.Marshal())
	c.Memory, c.Profile = 32<<20, hostprofile.Detect()
	m, err := New(kvmtest.Open(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

var withACPI = Config{Cmdline: "acpi=force"}

// wantEnd waits for the machine's end.
func wantEnd(t *testing.T, m *Machine, want Reason) {
	t.Helper()
	select {
	case <-m.Done():
		if end := m.End(); end.Reason != want {
			t.Errorf("ended by %v, want %v", end, want)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("still runs, want its end by %v", want)
	}
}

// out writes a byte to a port.
func out(port uint16, value byte) []byte {
	return []byte{0x66, 0xba, byte(port), byte(port >> 8), 0xb0, value, 0xee} // mov dx, port; mov al, value; out dx, al
}

// outWord writes two bytes, outDWord four.
func outWord(port, value uint16) []byte {
	return []byte{0x66, 0xba, byte(port), byte(port >> 8), 0x66, 0xb8, byte(value), byte(value >> 8), 0x66, 0xef}
}

func outDWord(port uint16, value uint32) []byte {
	return []byte{0x66, 0xba, byte(port), byte(port >> 8), 0xb8, byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24), 0xef}
}

// forever is the end of code that should have ended the machine before.
var forever = []byte{0xf4, 0xeb, 0xfd} // hlt; jmp to the hlt

// TestEndingPorts has a guest end its machine, each time as what it did. What comes
// first isn't a command, or the end would be another.
func TestEndingPorts(t *testing.T) {
	tests := []struct {
		name string
		code [][]byte
		want Reason
	}{
		{"sleep control", [][]byte{out(0x600, 0x34)}, PowerOff},
		{"reset", [][]byte{out(0x602, 1)}, Reboot},
		{"keyboard controller", [][]byte{out(0x64, 0xfe)}, Reboot},
		{"panic port", [][]byte{out(0x505, 1)}, GuestPanic},
		{"other values first", [][]byte{out(0x602, 0), out(0x602, 0xfe), out(0x600, 5<<2), out(0x600, 1<<5|4<<2), out(0x600, 0x34)}, PowerOff},
		{"status first", [][]byte{out(0x601, 0x34), out(0x601, 0x80), out(0x602, 1)}, Reboot},
		{"other widths first", [][]byte{
			outWord(0x600, 0x0034), outWord(0x601, 0x0100), outWord(0x602, 1),
			outDWord(0x600, 0x00010034), outDWord(0x5ff, 0x01003400), outDWord(0x602, 1), out(0x505, 1),
		}, GuestPanic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := guest(t, Config{}, append(tt.code, forever)...)
			m.Start()
			wantEnd(t, m, tt.want)
		})
	}
}

// TestEventsBeforeDrivers has events for a guest that lets interrupts in and
// has set up nothing, as Linux does for a while: they must not reach it by
// way of a PIC that it hasn't been told of.
func TestEventsBeforeDrivers(t *testing.T) {
	wait := []byte{
		0xfb,                      // sti
		0xb9, 0x00, 0x00, 0x02, 0, // mov ecx, 0x20000
		0xff, 0xc9, // dec ecx
		0x75, 0xfc, // jnz to the dec
		0xfa, // cli
	}
	m := guest(t, withACPI, wait, out(0x600, 0x34), forever)
	m.Start()
	for ended := false; !ended; {
		if err := errors.Join(m.PressPowerButton(), m.SetGenerationID([16]byte{1})); err != nil {
			t.Fatal(err)
		}
		select {
		case <-m.Done():
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
	wantEnd(t, m, PowerOff)
}

// TestGenerationID looks at it as the guest would.
func TestGenerationID(t *testing.T) {
	read := func(m *Machine) (id [16]byte) {
		if err := m.Memory().ReadAt(id[:], boot.GenerationGPA); err != nil {
			t.Fatal(err)
		}
		return id
	}
	one, two := guest(t, withACPI, forever), guest(t, withACPI, forever)
	if a, b := read(one), read(two); a == b || a == [16]byte{} {
		t.Errorf("two machines have the IDs %x and %x", a, b)
	}
	want := [16]byte{6}
	if id := read(guest(t, Config{Cmdline: "acpi=force", GenerationID: want}, forever)); id != want {
		t.Errorf("the ID is %x, want %x as configured", id, want)
	}
	want[0]++
	if err := one.SetGenerationID(want); err != nil || read(one) != want {
		t.Errorf("set to %x it is %x, %v", want, read(one), err)
	}
}

func TestWithoutACPI(t *testing.T) {
	m := guest(t, Config{Cmdline: "acpi=off"}, forever)
	if err := m.PressPowerButton(); !errors.Is(err, ErrNoACPI) {
		t.Errorf("power button: %v", err)
	}
	if err := m.SetGenerationID([16]byte{1}); !errors.Is(err, ErrNoACPI) {
		t.Errorf("generation ID: %v", err)
	}
}
