package machine

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

// Reason says why a machine ended.
type Reason int

const (
	// Stopped: Stop was called.
	Stopped Reason = iota
	// PowerOff: the guest turned itself off.
	PowerOff
	// Reboot: the guest asked for a reset. Machines here don't reboot; who
	// wants a fresh guest starts a new one.
	Reboot
	// GuestPanic: the guest's kernel panicked.
	GuestPanic
	// TripleFault: the guest lost control of its processor.
	TripleFault
	// EmulationFailure: the guest executed what the host can't.
	EmulationFailure
	// HostError: the host could not go on.
	HostError
)

// String returns the reason in words, as reports give it.
func (r Reason) String() string {
	switch r {
	case Stopped:
		return "stopped"
	case PowerOff:
		return "power-off"
	case Reboot:
		return "reboot"
	case GuestPanic:
		return "guest panic"
	case TripleFault:
		return "triple fault"
	case EmulationFailure:
		return "emulation failure"
	case HostError:
		return "host error"
	}
	return fmt.Sprintf("reason %d", int(r))
}

// End is how a machine ended. Err is nil if the guest or its owner ended it on
// purpose, else one of package vcpu's errors with the evidence.
type End struct {
	Reason Reason
	Err    error
}

// endOf classifies what vcpu.CPU.Run returned.
func endOf(err error) End {
	var (
		fault     *vcpu.TripleFaultError
		emulation *vcpu.EmulationError
		event     *vcpu.SystemEventError
	)
	switch {
	case err == nil:
		return End{Reason: Stopped}
	case errors.As(err, &fault):
		return End{TripleFault, err}
	case errors.As(err, &emulation):
		return End{EmulationFailure, err}
	case errors.As(err, &event):
		switch event.Event {
		case vcpu.EventShutdown:
			return End{Reason: PowerOff}
		case vcpu.EventReset:
			return End{Reason: Reboot}
		case vcpu.EventCrash:
			return End{GuestPanic, err}
		}
	}
	return End{HostError, err}
}
