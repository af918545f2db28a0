package node

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
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

const (
	// finishTime is how long a guest has to write its disks and turn itself off
	// once its processes have ended.
	finishTime = 30 * time.Second
	// exitTime is how long the news that the command has ended may be on its way
	// when its machine has.
	exitTime = 500 * time.Millisecond
)

// errCalledOff ends work for which there is no use any more.
var errCalledOff = errors.New("called off")

// errKilled ends the wait for a guest that is asked to end.
var errKilled = errors.New("killed")

// end has a sandbox that is STARTING, RUNNING or PAUSED stop, for a reason. A
// grace of 0 doesn't ask the guest. That it can't be kept stops nobody: what is
// stopped may be what fills the disk.
func (s *sandbox) end(reason bulkheadv1.ExitReason, grace time.Duration, message string) {
	s.status().State, s.record.Stopping = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING, reason
	s.usable.Store(nil)
	s.keep(message)
	if s.work != nil {
		s.callOff(errCalledOff) // it is starting, or being found again, or its machine has ended
		return
	}
	s.stopWithin(grace)
}

// stop is the work of STOPPING, as for who finds a sandbox in that state.
func (s *sandbox) stop() {
	grace := defaultGrace
	if s.record.GetStopping() == bulkheadv1.ExitReason_EXIT_REASON_KILLED {
		grace = 0
	}
	s.stopWithin(grace)
}

func (s *sandbox) stopWithin(grace time.Duration) {
	i, reason, completed := s.instance, s.record.GetStopping(), proto.CloneOf(s.status().GetExit())
	s.instance = nil
	s.start(func(ctx context.Context) func() {
		forced := grace > 0 && !s.askToEnd(ctx, i, grace)
		if errors.Is(context.Cause(ctx), errNodeClosing) && !s.node.config.Tied {
			return func() { s.instance = i }
		}
		exit := completed // kept when the command ended
		if reason != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED {
			exit = stopExit(i, reason, s.spec().GetCommand() != nil)
		}
		exit.Forced = forced
		if err := i.Close(); err != nil {
			s.log.Warn("end the sandbox", zap.Error(err))
		}
		return func() { s.finish(exit) }
	})
}

// askToEnd has the guest end by itself, and reports whether it did.
func (s *sandbox) askToEnd(ctx context.Context, i *instance.Instance, grace time.Duration) bool {
	i.Watch()
	if s.spec().GetCommand() != nil {
		i.Follow()
	}
	ctx, cancel := context.WithTimeout(ctx, grace+finishTime)
	defer cancel()
	i.Resume(ctx) // one that is paused couldn't; others don't notice
	err := i.PowerOff(ctx, grace)
	if err != nil {
		s.log.Warn("the guest is ended without its doing", zap.Error(err))
	}
	return err == nil
}

// stopExit is the exit of a run that was stopped for a reason, before its
// instance is closed.
func stopExit(i *instance.Instance, reason bulkheadv1.ExitReason, command bool) *bulkheadv1.SandboxExit {
	exit := &bulkheadv1.SandboxExit{Reason: reason, Time: timestamppb.Now()}
	if !command {
		return exit
	}
	select {
	case <-i.Exited():
		exit.ExitCode, exit.Signal = i.Exit().GetExitCode(), i.Exit().GetSignal()
	case <-time.After(exitTime):
		exit.ExitCode, exit.Signal = exitKilled, signalKill
	}
	return exit
}

// What ends a command that isn't asked.
const (
	signalKill = 9
	exitKilled = 128 + signalKill
)

// commandEnded stops a sandbox whose command has ended by itself.
func (s *sandbox) commandEnded() {
	e := s.instance.Exit()
	s.status().Exit = &bulkheadv1.SandboxExit{
		Reason: bulkheadv1.ExitReason_EXIT_REASON_COMPLETED, ExitCode: e.GetExitCode(), Signal: e.GetSignal(), Time: timestamppb.Now(),
	}
	s.end(bulkheadv1.ExitReason_EXIT_REASON_COMPLETED, time.Second, "the command ended")
}

// machineEnded is for a machine that ended by itself.
func (s *sandbox) machineEnded() {
	s.usable.Store(nil)
	i, command := s.instance, s.spec().GetCommand() != nil
	s.instance = nil
	s.start(func(context.Context) func() {
		exit := machineExit(i, command)
		if err := i.Close(); err != nil {
			s.log.Warn("clear away the sandbox's run", zap.Error(err))
		}
		return func() { s.finish(exit) }
	})
}

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
		select {
		case <-i.Exited():
			exit.ExitCode, exit.Signal = i.Exit().GetExitCode(), i.Exit().GetSignal()
		case <-time.After(exitTime):
		}
	}
	return exit
}
