package machine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/bulkhead-vm/bulkhead/boot"
	"github.com/bulkhead-vm/bulkhead/boot/acpi"
	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/power"
	"github.com/bulkhead-vm/bulkhead/devices/serial"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/mmio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// ErrNoACPI says that a machine has no ACPI, and with that no way to tell its
// guest of events.
var ErrNoACPI = errors.New("the machine has no ACPI: its kernel's command line says " + noACPI + ", add " + forceACPI)

// Words of a kernel's command line.
const (
	noACPI    = "acpi=off"
	forceACPI = "acpi=force"
)

// usesACPI reports whether a machine with these words on its command line has
// ACPI. As to Linux, the last of acpi=off and acpi=force counts; without either
// it has.
func usesACPI(cmdline string) bool {
	uses := true
	for _, word := range strings.Fields(cmdline) {
		switch word {
		case noACPI:
			uses = false
		case forceACPI:
			uses = true
		}
	}
	return uses
}

// acpiEvents are the interrupts by which a machine tells its guest of events.
type acpiEvents struct {
	button, generation *eventfd.EventFD // nil: no ACPI
}

// createACPI makes what ACPI tells of beside other devices, and returns what
// the guest is to be told.
func (m *Machine) createACPI(c Config) (config *acpi.Config, err error) {
	if err := m.createEvents(); err != nil {
		return nil, err
	}
	id := c.generationID()
	if err := m.mem.WriteAt(id[:], boot.GenerationGPA); err != nil {
		return nil, fmt.Errorf("generation ID: %w", err)
	}
	return describe(c.Transport, len(c.Devices)), nil
}

// generationID returns the one to begin with.
func (c Config) generationID() (id [16]byte) {
	if id = c.GenerationID; id == [16]byte{} {
		rand.Read(id[:]) // never fails
	}
	return id
}

// createEvents makes the interrupts of ACPI's events.
func (m *Machine) createEvents() (err error) {
	if m.events.button, err = m.interrupt(buttonGSI); err != nil {
		return err
	}
	m.events.generation, err = m.interrupt(generationGSI)
	return err
}

// describe returns what a guest is told of a machine with that many virtio
// devices behind a transport.
func describe(transport Transport, devices int) *acpi.Config {
	c := &acpi.Config{
		Power: acpi.Power{
			SleepControl: power.PortControl, SleepStatus: power.PortStatus, SleepOff: power.TypeOff,
			Reset: power.PortReset, ResetValue: power.Reset,
		},
		Devices: []acpi.Device{acpi.SerialPort{Port: serialPort, Count: serial.RegisterLen, GSI: serialGSI}},
	}
	if transport == PCI {
		w := PCIWindow()
		c.Devices = append(c.Devices, acpi.PCIRoot{
			Ports: pci.PortAddress, PortCount: pci.PortCount,
			Window: memory.Range{Start: memory.GPA(w.Start), Size: uint64(w.Size)},
		})
	} else {
		c.Devices = append(c.Devices, mmioDevices(devices)...)
	}
	c.Devices = append(c.Devices,
		acpi.PowerButton{GSI: buttonGSI},
		acpi.Generation{GPA: boot.GenerationGPA, GSI: generationGSI},
	)
	return c
}

func mmioDevices(devices int) (all []acpi.Device) {
	for i := range devices {
		gpa, gsi := slot(i)
		all = append(all, acpi.VirtioMMIO{
			UID: i, Window: memory.Range{Start: memory.GPA(gpa), Size: mmio.Size}, GSI: gsi,
		})
	}
	return all
}

// PressPowerButton asks the guest to turn itself off. Whether and when it does
// is up to it; one whose kernel hasn't come up doesn't hear of it. It fails with
// ErrNoACPI, or when the machine is closed.
func (m *Machine) PressPowerButton() error {
	if m.events.button == nil {
		return ErrNoACPI
	}
	if err := m.events.button.Signal(); err != nil {
		return fmt.Errorf("press a machine's power button: %w", err)
	}
	return nil
}

// SetGenerationID gives the guest another generation ID and tells it, so that it
// draws new random numbers: for one that is about to go on from a state that
// another one goes on from, or went. It fails with ErrNoACPI, or when the machine
// is closed, and must not overlap Close.
func (m *Machine) SetGenerationID(id [16]byte) error {
	if m.events.generation == nil {
		return ErrNoACPI
	}
	if err := m.mem.WriteAt(id[:], boot.GenerationGPA); err != nil {
		return fmt.Errorf("generation ID: %w", err)
	}
	if err := m.events.generation.Signal(); err != nil {
		return fmt.Errorf("generation ID: %w", err)
	}
	return nil
}
