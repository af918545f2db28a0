package acpi

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/boot/acpi/aml"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Device is one of this package's kinds of device.
type Device interface {
	define() aml.Term
}

// notifier is a Device that has events: interrupts of the generic event device
// that become notifications of the device with that name.
type notifier interface {
	Device
	event() (gsi uint32, name string, event uint64)
}

// VirtioMMIO is a virtio device with memory-mapped registers. A machine has at
// most 4096, with UIDs of their own.
type VirtioMMIO struct {
	UID    int
	Window memory.Range // below 4 GiB
	GSI    uint32
}

func (d VirtioMMIO) define() aml.Term {
	return aml.Device(fmt.Sprintf("V%03X", d.UID&0xfff),
		aml.Name("_HID", aml.String("LNRO0005")),
		aml.Name("_UID", aml.Integer(uint64(d.UID))),
		aml.Name("_CRS", aml.Resources(aml.Memory(uint32(d.Window.Start), uint32(d.Window.Size)), aml.Interrupt(d.GSI))),
	)
}

// PCIRoot is PCI bus 0, without buses behind it: the I/O ports of configuration
// mechanism #1, and the memory that its devices are in. They interrupt by
// messages, so that no pin is routed.
type PCIRoot struct {
	Ports     uint16
	PortCount uint8
	Window    memory.Range // below 4 GiB
}

func (d PCIRoot) define() aml.Term {
	return aml.Device("PCI0",
		aml.Name("_HID", aml.EISAID("PNP0A03")),
		aml.Name("_CRS", aml.Resources(
			aml.BusNumbers(0, 0),
			aml.Ports(d.Ports, d.PortCount),
			aml.MemoryWindow(uint32(d.Window.Start), uint32(d.Window.Size)),
		)),
	)
}

// SerialPort is the 16550A of a PC's COM1. Without the legacy interrupt
// controller this is the only way for a kernel to learn of its interrupt.
type SerialPort struct {
	Port  uint16
	Count uint8 // ports
	GSI   uint32
}

func (d SerialPort) define() aml.Term {
	return aml.Device("COM1",
		aml.Name("_HID", aml.EISAID("PNP0501")),
		aml.Name("_CRS", aml.Resources(aml.Ports(d.Port, d.Count), aml.Interrupt(d.GSI))),
	)
}

// PowerButton is what the machine's owner presses, by raising GSI, to ask the
// operating system to turn itself off; ACPI 6.4, section 4.8.2.2.1.2.
type PowerButton struct{ GSI uint32 }

const powerButtonName = "PWRB"

func (d PowerButton) define() aml.Term {
	return aml.Device(powerButtonName, aml.Name("_HID", aml.EISAID("PNP0C0C")))
}

func (d PowerButton) event() (uint32, string, uint64) {
	const pressed = 0x80
	return d.GSI, powerButtonName, pressed
}

// Generation is the virtual machine generation ID, 16 bytes at GPA that change,
// as GSI then tells, when the guest becomes another one's twin: the "Virtual
// Machine Generation ID" specification by Microsoft. GPA is in a page that is
// the guest's RAM, but not for its use, and a multiple of 8.
type Generation struct {
	GPA memory.GPA
	GSI uint32
}

const generationName = "VGEN"

func (d Generation) define() aml.Term {
	return aml.Device(generationName,
		aml.Name("_HID", aml.String("BULK0001")),
		// The specification's name, and the one that is short enough to
		// be an ACPI ID.
		aml.Name("_CID", aml.Package(aml.String("VM_Gen_Counter"), aml.String("VMGENCTR"))),
		aml.Name("_DDN", aml.String("VM_Gen_Counter")),
		aml.Name("ADDR", aml.Package(aml.Integer(uint64(d.GPA)&0xffffffff), aml.Integer(uint64(d.GPA)>>32))),
	)
}

func (d Generation) event() (uint32, string, uint64) {
	const changed = 0x80
	return d.GSI, generationName, changed
}
