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

// end has a sandbox that is STARTING, RUNNING or PAUSED stop, for a reason: its
// guest is asked to end, its processes have grace.
func (s *sandbox) end(reason bulkheadv1.ExitReason, grace time.Duration, message string) {
	s.record.Killed, s.record.GraceUntil = false, timestamppb.New(time.Now().Add(grace))
	s.leave(reason, message)
}

// kill has it stop without asking its guest.
func (s *sandbox) kill(message string) {
	s.record.Killed, s.record.GraceUntil = true, nil
	s.leave(bulkheadv1.ExitReason_EXIT_REASON_KILLED, message)
}

// killNow has one that is STOPPING already not be waited for.
func (s *sandbox) killNow(message string) {
	s.record.Killed = true // for who finds it again in this state
	s.keep(message)
	s.callOff(errKilled)
}

// leave is STOPPING. That it can't be kept stops nobody: what is stopped may be
// what fills the disk.
func (s *sandbox) leave(reason bulkheadv1.ExitReason, message string) {
	s.status().State, s.record.Stopping = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING, reason
	s.usable.Store(nil)
	s.keep(message)
	if s.work != nil {
		s.callOff(errCalledOff) // it is starting, or being found again, or its machine has ended
		return
	}
	s.stop()
}

// stop is the work of STOPPING, as the record has it: also for who finds a
// sandbox in that state.
func (s *sandbox) stop() {
	i, reason, completed := s.instance, s.record.GetStopping(), proto.CloneOf(s.status().GetExit())
	asked, frozen, grace := !s.record.GetKilled(), s.frozen, s.graceLeft()
	s.instance = nil
	s.start(func(ctx context.Context) func() {
		forced := asked && !s.askToEnd(ctx, i, frozen, grace)
		if errors.Is(context.Cause(ctx), errNodeClosing) && !s.node.config.Tied {
			return func() { s.instance = i }
		}
		exit := completed // kept when the command ended
		if reason != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED {
			exit = stopExit(i, reason, s.spec().GetCommand() != nil, asked && !forced)
		}
		exit.Forced = forced
		if err := i.Close(); err != nil {
			s.log.Warn("end the sandbox", zap.Error(err))
		}
		return func() { s.finish(exit) }
	})
}

// graceLeft is how long the processes of a sandbox that is STOPPING have.
func (s *sandbox) graceLeft() time.Duration {
	if s.record.GetGraceUntil() == nil {
		return DefaultGrace // kept by a node that didn't say
	}
	return max(0, time.Until(s.record.GetGraceUntil().AsTime()))
}

// askToEnd has the guest end by itself, and reports whether it did.
func (s *sandbox) askToEnd(ctx context.Context, i *instance.Instance, frozen bool, grace time.Duration) bool {
	i.Watch()
	if s.spec().GetCommand() != nil {
		i.Follow()
	}
	ctx, cancel := context.WithTimeout(ctx, grace+finishTime)
	defer cancel()
	i.Resume(ctx) // one that is paused couldn't; others don't notice
	if frozen {
		i.Thaw(ctx) // or PowerOff says that it couldn't
	}
	err := i.PowerOff(ctx, grace)
	if err != nil && !errors.Is(context.Cause(ctx), errNodeClosing) {
		s.log.Warn("the guest is ended without its doing", zap.Error(err))
	}
	return err == nil
}

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
