package vcpu

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// TripleFaultError says that the guest faulted while it handled a double
// fault, which resets a PC.
type TripleFaultError struct {
	CPU  int
	Regs kvm.Regs
}

func (e *TripleFaultError) Error() string {
	return fmt.Sprintf("triple fault on vCPU %d at RIP %#x", e.CPU, e.Regs.RIP)
}

// EmulationError says that neither KVM nor the VMM could carry out an
// instruction of the guest.
type EmulationError struct {
	CPU  int
	Insn []byte // the instruction and what follows it; empty if KVM didn't say
	Regs kvm.Regs
}

func (e *EmulationError) Error() string {
	return fmt.Sprintf("no emulation for the instruction % x on vCPU %d at RIP %#x", e.Insn, e.CPU, e.Regs.RIP)
}

// SystemEvent is a KVM_SYSTEM_EVENT_*; KVM API section 5.
type SystemEvent uint32

// The events that end a machine.
const (
	EventShutdown SystemEvent = 1
	EventReset    SystemEvent = 2
	EventCrash    SystemEvent = 3
)

// SystemEventError says that the guest asked KVM itself to end the machine.
type SystemEventError struct {
	CPU   int
	Event SystemEvent
}

func (e *SystemEventError) Error() string {
	return fmt.Sprintf("system event %d on vCPU %d", e.Event, e.CPU)
}

// HostError says that the host could not go on running the guest.
type HostError struct {
	CPU  int
	Regs kvm.Regs
	Err  error
}

func (e *HostError) Error() string {
	return fmt.Sprintf("vCPU %d at RIP %#x: %v", e.CPU, e.Regs.RIP, e.Err)
}

func (e *HostError) Unwrap() error { return e.Err }
