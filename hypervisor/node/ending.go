package node

import (
	"context"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// endReason returns the reason of a machine that ended by itself.
func endReason(e instance.End) bulkheadv1.ExitReason {
	if e.Err != nil {
		return bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST
	}
	switch e.GetReason() {
	case vmmv1.EndReason_END_REASON_POWER_OFF:
		return bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF
	case vmmv1.EndReason_END_REASON_REBOOT:
		return bulkheadv1.ExitReason_EXIT_REASON_REBOOT
	case vmmv1.EndReason_END_REASON_GUEST_PANIC:
		return bulkheadv1.ExitReason_EXIT_REASON_GUEST_PANIC
	case vmmv1.EndReason_END_REASON_TRIPLE_FAULT:
		return bulkheadv1.ExitReason_EXIT_REASON_TRIPLE_FAULT
	case vmmv1.EndReason_END_REASON_EMULATION_FAILURE:
		return bulkheadv1.ExitReason_EXIT_REASON_EMULATION_FAILURE
	case vmmv1.EndReason_END_REASON_STOPPED:
		return bulkheadv1.ExitReason_EXIT_REASON_KILLED
	}
	return bulkheadv1.ExitReason_EXIT_REASON_HOST_ERROR
}

// finish is the end of a run: nothing of it is left but this. What comes next was
// asked for, or follows from the specification.
func (s *sandbox) finish(exit *bulkheadv1.SandboxExit) {
	s.countClaim()
	if err := s.removeRun(); err != nil {
		s.log.Warn("clear away the sandbox's run", zap.Error(err))
	}
	ran := since(s.status().GetReadyTime())
	status := s.status()
	status.Exit, status.ReadyTime, status.Problem = exit, nil, ""
	s.frozen, s.thaws = false, thaws{}
	stopping := s.record.GetStopping()
	s.record.Worker, s.record.Stopping, s.record.GraceUntil, s.record.Killed = nil, 0, nil, false
	if s.pool != "" {
		s.memberEnded(exit)
		return
	}
	s.node.observeExit(exit)
	switch {
	case s.record.GetDoomed():
		s.remove("deleted once it had stopped")
	case s.restarts(stopping, exit, ran):
		s.backOff(ran)
	case s.spec().GetAutoDelete():
		s.remove("deleted because it ended: " + exitText(exit))
	default:
		s.rest("stopped: " + exitText(exit))
	}
}

// rest is STOPPED.
func (s *sandbox) rest(message string) {
	status := s.status()
	status.State, status.RestartTime = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED, nil
	s.node.release(s.host)
	s.keep(message)
}

// exitText is an exit in words.
func exitText(e *bulkheadv1.SandboxExit) string {
	text := reasonText(e.GetReason())
	if e.GetReason() == bulkheadv1.ExitReason_EXIT_REASON_COMPLETED {
		text += fmt.Sprintf(" with exit code %d", e.GetExitCode())
	}
	if m := e.GetMessage(); m != "" {
		text += ": " + m
	}
	return text
}

// restarts reports whether a run that ended so is followed by another.
func (s *sandbox) restarts(stopping bulkheadv1.ExitReason, exit *bulkheadv1.SandboxExit, ran time.Duration) bool {
	p := s.spec().GetRestart()
	if p.GetMode() != bulkheadv1.RestartMode_RESTART_MODE_ON_FAILURE || s.node.draining.Load() {
		return false
	}
	if stopping != 0 && stopping != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED {
		return false // somebody wanted it to end
	}
	if exit.GetExitCode() == 0 {
		return false
	}
	return p.GetMaxRestarts() == 0 || s.inARow(ran) < p.GetMaxRestarts()
}

// steadyTime is how long a run lasts that ends a row of restarts.
const steadyTime = 10 * time.Minute

// inARow returns how many restarts have followed each other.
func (s *sandbox) inARow(ran time.Duration) uint32 {
	if ran >= steadyTime {
		return 0
	}
	return s.status().GetRestarts()
}

// How long to wait before a restart, unless the specification says otherwise.
const (
	defaultBackoff    = time.Second
	defaultMaxBackoff = 5 * time.Minute
)

// backOff is BACKING_OFF.
func (s *sandbox) backOff(ran time.Duration) {
	p, status := s.spec().GetRestart(), s.status()
	status.Restarts = s.inARow(ran)
	first, most := defaultBackoff, defaultMaxBackoff
	if p.GetBackoff() != nil {
		first = p.GetBackoff().AsDuration()
	}
	if p.GetMaxBackoff() != nil {
		most = p.GetMaxBackoff().AsDuration()
	}
	wait := time.Duration(min(float64(first)*math.Exp2(float64(status.GetRestarts())), float64(most)))
	status.State = bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF
	status.RestartTime = timestamppb.New(time.Now().Add(wait))
	s.keep(fmt.Sprintf("to be restarted in %v: %s", wait.Round(time.Millisecond), exitText(status.GetExit())))
}

// remove is DELETING, with nothing of a run left.
func (s *sandbox) remove(message string) {
	s.status().State = bulkheadv1.SandboxState_SANDBOX_STATE_DELETING
	s.node.release(s.host)
	if err := s.keep(message); err != nil {
		return // tryAgain goes on, kept or not: on a full disk what is removed makes room for that
	}
	s.removeKept()
}

// removeKept is the work of DELETING.
func (s *sandbox) removeKept() {
	s.failure = nil
	record := cloneRecord(s.record)
	s.start(func(context.Context) func() {
		err := s.node.removeAll(record)
		return func() { s.removed(err) }
	})
}

// removed is how that went. What could not be removed is tried again.
func (s *sandbox) removed(err error) {
	if err == nil {
		err = s.deleteFrom(s.node.config.Store)
	}
	if err != nil {
		s.log.Error("the sandbox could not be deleted", zap.Error(err))
		s.failure, s.againAt = err, time.Now().Add(keepAgain)
		return
	}
	s.log.Info("deleted")
	s.deleted = true
}

// deleteFrom has a store forget it.
func (s *sandbox) deleteFrom(from store.Store) error {
	if s.pool != "" {
		return from.DeleteMember(s.name)
	}
	_, err := from.Delete(cloneRecord(s.record), "deleted")
	return err
}

func cloneRecord(r *storev1.Record) *storev1.Record { return proto.CloneOf(r) }
