package kvm

import "fmt"

// AssignIRQFD makes every write to the eventfd raise an edge on the line gsi,
// without a trip through this process. The kernel keeps its own reference to
// the eventfd until DeassignIRQFD or the end of the machine.
func (vm *VM) AssignIRQFD(eventFD int, gsi uint32) error {
	return vm.irqfd(irqfd{fd: uint32(eventFD), gsi: gsi})
}

// DeassignIRQFD undoes AssignIRQFD.
func (vm *VM) DeassignIRQFD(eventFD int, gsi uint32) error {
	return vm.irqfd(irqfd{fd: uint32(eventFD), gsi: gsi, flags: irqfdDeassign})
}

func (vm *VM) irqfd(arg irqfd) error {
	if _, err := ioctlPtr(vm.fd, reqIRQFD, &arg); err != nil {
		return fmt.Errorf("GSI %d: %w", arg.gsi, err)
	}
	return nil
}

// IOEventFD describes guest writes that signal an eventfd instead of leaving
// the guest; KVM API section 4.59.
type IOEventFD struct {
	FD      int
	Address uint64 // a GPA, or a port number if PIO is set
	Length  uint32 // of the write: 1, 2, 4 or 8 bytes; 0 for any
	PIO     bool
	// Match, if not nil, restricts to writes of this value.
	Match *uint64
}

func (e IOEventFD) arg() ioeventfd {
	a := ioeventfd{addr: e.Address, length: e.Length, fd: int32(e.FD)}
	if e.PIO {
		a.flags |= ioeventfdPIO
	}
	if e.Match != nil {
		a.datamatch = *e.Match
		a.flags |= ioeventfdDatamatch
	}
	return a
}

// AssignIOEventFD starts signalling. The kernel keeps its own reference to the
// eventfd until DeassignIOEventFD or the end of the machine.
func (vm *VM) AssignIOEventFD(e IOEventFD) error {
	return vm.ioeventfd(e.arg())
}

// DeassignIOEventFD stops signalling; e must equal what was assigned.
func (vm *VM) DeassignIOEventFD(e IOEventFD) error {
	a := e.arg()
	a.flags |= ioeventfdDeassign
	return vm.ioeventfd(a)
}

func (vm *VM) ioeventfd(arg ioeventfd) error {
	if _, err := ioctlPtr(vm.fd, reqIOEventFD, &arg); err != nil {
		return fmt.Errorf("address %#x: %w", arg.addr, err)
	}
	return nil
}
