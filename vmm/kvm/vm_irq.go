package kvm

import "fmt"

// CreateIRQChip puts two PICs and an IOAPIC into the kernel and gives every
// later vCPU a local APIC.
func (vm *VM) CreateIRQChip() error {
	_, err := vm.ioctl(reqCreateIRQChip, 0)
	return err
}

// CreatePIT puts an i8254 into the kernel; it needs the irqchip. The dummy
// speaker keeps port 0x61, which guests poll to calibrate, in the kernel too.
func (vm *VM) CreatePIT() error {
	arg := pitConfig{flags: pitSpeakerDummy}
	_, err := ioctlPtr(vm.fd, reqCreatePIT2, &arg)
	return err
}

// SetIRQLine raises or lowers an interrupt line.
func (vm *VM) SetIRQLine(gsi uint32, high bool) error {
	arg := irqLevel{irq: gsi}
	if high {
		arg.level = 1
	}
	_, err := ioctlPtr(vm.fd, reqIRQLine, &arg)
	return err
}

// SignalMSI injects a message-signalled interrupt and reports whether the
// guest took it.
func (vm *VM) SignalMSI(m MSI) (delivered bool, err error) {
	n, err := ioctlPtr(vm.fd, reqSignalMSI, &m)
	return n > 0, err
}

// IRQChip reads the state of the controller id (ChipPICMaster, ...).
func (vm *VM) IRQChip(id uint32) (IRQChip, error) {
	c := IRQChip{ID: id}
	_, err := ioctlPtr(vm.fd, reqGetIRQChip, &c)
	return c, err
}

// SetIRQChip writes the state of the controller c.ID.
func (vm *VM) SetIRQChip(c IRQChip) error {
	_, err := ioctlPtr(vm.fd, reqSetIRQChip, &c)
	return err
}

// PIT reads the state of the interval timer.
func (vm *VM) PIT() (PIT, error) {
	var p PIT
	_, err := ioctlPtr(vm.fd, reqGetPIT2, &p)
	return p, err
}

// SetPIT writes the state of the interval timer.
func (vm *VM) SetPIT(p PIT) error {
	_, err := ioctlPtr(vm.fd, reqSetPIT2, &p)
	return err
}

// Route says where an interrupt line leads: to a pin of an in-kernel chip or,
// if MSI is set, to a message.
type Route struct {
	GSI  uint32
	Chip uint32
	Pin  uint32
	MSI  *MSI
}

func (r Route) entry() routingEntry {
	e := routingEntry{gsi: r.GSI, kind: routingIRQChip, u: [8]uint32{r.Chip, r.Pin}}
	if r.MSI != nil {
		e.kind = routingMSI
		e.u = [8]uint32{r.MSI.AddressLo, r.MSI.AddressHi, r.MSI.Data}
	}
	return e
}

// maxRoutes bounds a routing table; the kernel takes 4096.
const maxRoutes = 1024

type routing struct {
	n       uint32
	_       uint32 // flags
	entries [maxRoutes]routingEntry
}

// SetGSIRouting replaces the whole routing table.
func (vm *VM) SetGSIRouting(routes []Route) error {
	if len(routes) > maxRoutes {
		return fmt.Errorf("%s: %d routes, at most %d", reqSetGSIRouting, len(routes), maxRoutes)
	}
	arg := routing{n: uint32(len(routes))}
	for i, r := range routes {
		arg.entries[i] = r.entry()
	}
	_, err := ioctlPtr(vm.fd, reqSetGSIRouting, &arg)
	return err
}
