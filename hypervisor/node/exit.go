package node

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Exit codes, as "bulkhead run" has them.
const (
	exitFailure       = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// stopExit is the exit of a run that was stopped for a reason, before its
// instance is closed. byItself says that the guest has ended.
func stopExit(i *instance.Instance, reason bulkheadv1.ExitReason, command, byItself bool) *bulkheadv1.SandboxExit {
	exit := &bulkheadv1.SandboxExit{Reason: reason, Time: timestamppb.Now()}
	if !command {
		return exit
	}
	if exited(i, byItself) {
		exit.ExitCode, exit.Signal = i.Exit().GetExitCode(), i.Exit().GetSignal()
	} else {
		exit.ExitCode, exit.Signal = exitKilled, signalKill
	}
	return exit
}

// exited reports whether the command of an instance has ended, and waits for the
// news of that if it is on its way.
func exited(i *instance.Instance, wait bool) bool {
	timeout := time.Duration(0)
	if wait {
		timeout = exitTime
	}
	select {
	case <-i.Exited():
		return true
	default:
	}
	select {
	case <-i.Exited():
		return true
	case <-time.After(timeout):
		return false
	}
}

// What ends a command that isn't asked.
const (
	signalKill = 9
	exitKilled = 128 + signalKill
)

// machineExit is the exit of a machine that ended by itself. The command may have
// ended just before.
func machineExit(i *instance.Instance, command bool) *bulkheadv1.SandboxExit {
	end := i.End()
	exit := &bulkheadv1.SandboxExit{Reason: endReason(end), ExitCode: exitFailure, Time: timestamppb.Now()}
	switch {
	case end.Err != nil:
		exit.Message = end.Err.Error()
	case exit.Reason == bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF:
		exit.ExitCode = 0
	default:
		exit.Message = (&instance.EndedError{End: end}).Error()
		exit.ConsoleTail = end.GetConsoleTail()
	}
	if command && exit.Reason == bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF {
		if exited(i, true) {
			exit.ExitCode, exit.Signal = i.Exit().GetExitCode(), i.Exit().GetSignal()
		}
	}
	return exit
}
