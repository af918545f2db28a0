package node

import (
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// keepAgain is how long after a failure the state is kept, or the sandbox
// deleted, again.
const keepAgain = 2 * time.Second

// nextTime returns when onTime is to be called, if at all.
func (s *sandbox) nextTime() (at time.Time) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !s.againAt.IsZero() {
		sooner(s.againAt)
	}
	if t := s.restartTime(); !t.IsZero() {
		sooner(t)
	}
	if t := s.thawTime(); !t.IsZero() {
		sooner(t)
	}
	if t := s.idleUntil(); !t.IsZero() {
		sooner(t)
	}
	if t := s.liveUntil(); !t.IsZero() && !s.record.GetDoomed() {
		sooner(t)
	}
	return at
}

// onTime does whatever it is time for.
func (s *sandbox) onTime() {
	now := time.Now()
	over := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	if over(s.againAt) {
		s.tryAgain()
	}
	switch { // whether or not that could be kept: what is over may be what fills the disk
	case over(s.liveUntil()) && !s.record.GetDoomed():
		s.doom("its time to live is over")
	case over(s.restartTime()):
		if s.node.draining.Load() {
			s.rest("not restarted: the node is being drained")
			return
		}
		if err := s.begin(true); err != nil {
			s.log.Error("restart", zap.Error(err))
			s.status().RestartTime = timestamppb.New(now.Add(keepAgain))
		}
	case over(s.idleUntil()) && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_CREATED):
		s.abandon()
	case over(s.idleUntil()):
		s.end(bulkheadv1.ExitReason_EXIT_REASON_IDLE, DefaultGrace, "stopping: idle for too long")
	case over(s.thawTime()):
		s.thaw()
	}
}

// tryAgain does once more what failed: keep the last change, then delete the
// sandbox if that is what it is about.
func (s *sandbox) tryAgain() {
	s.againAt = time.Time{}
	if s.unkept {
		s.keep("kept at last") // what is deleted needn't be
	}
	if s.work == nil && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_DELETING) {
		s.removeKept()
	}
}

// restartTime is when to restart. Zero: not.
func (s *sandbox) restartTime() time.Time {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF) {
		return time.Time{}
	}
	return s.status().GetRestartTime().AsTime()
}

// liveUntil is when the sandbox is to be deleted. Zero: never.
func (s *sandbox) liveUntil() time.Time {
	ttl := s.spec().GetTtl()
	if ttl == nil || s.is(bulkheadv1.SandboxState_SANDBOX_STATE_DELETING) {
		return time.Time{}
	}
	return s.record.GetSandbox().GetCreateTime().AsTime().Add(ttl.AsDuration())
}

// idleUntil is when the sandbox has been idle for too long, unless somebody comes.
// Zero: never.
func (s *sandbox) idleUntil() time.Time {
	d := s.spec().GetIdleTimeout()
	if d != nil && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_CREATED) {
		return s.record.GetSandbox().GetCreateTime().AsTime().Add(d.AsDuration())
	}
	if d == nil || s.spec().GetCommand() != nil || s.instance == nil {
		return time.Time{}
	}
	since, idle := s.usage.idleSince()
	if !idle {
		return time.Time{}
	}
	return since.Add(d.AsDuration())
}

// abandon takes its share of the node from a sandbox that nobody has started.
func (s *sandbox) abandon() {
	s.status().Exit = &bulkheadv1.SandboxExit{
		Reason: bulkheadv1.ExitReason_EXIT_REASON_IDLE, ExitCode: exitFailure, Message: "nobody started it", Time: timestamppb.Now(),
	}
	if s.spec().GetAutoDelete() {
		s.remove("deleted: nobody started it")
		return
	}
	s.rest("stopped: " + exitText(s.status().GetExit()))
}

// doom has the sandbox deleted, as soon as it has stopped.
func (s *sandbox) doom(message string) {
	s.record.Doomed = true
	s.doomed.Store(true)
	switch {
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_DELETING):
		if s.work == nil {
			s.removeKept() // who asks again needn't wait until it is time
		}
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING):
		s.killNow(message)
	case s.alive():
		s.kill("ending: " + message)
	default:
		s.remove(message)
	}
}

// alive reports whether there is a run that isn't being stopped.
func (s *sandbox) alive() bool {
	return s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED)
}
