package node

import (
	"context"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// DefaultGrace is how long a command has from SIGTERM to SIGKILL if nobody says.
const DefaultGrace = 10 * time.Second

// command has a sandbox do something, and returns it as it is when that is done.
func (n *Node) command(ctx context.Context, name string, act func(*sandbox) error, look func(*sandbox) (done bool, err error)) (*bulkheadv1.Sandbox, error) {
	s, err := n.find(name)
	if err != nil {
		return nil, err
	}
	var last *bulkheadv1.Sandbox
	err = s.do(ctx, func() error { return act(s) }, func() (bool, error) {
		done, err := look(s)
		last = s.seen.Load()
		return done, err
	})
	if err != nil {
		return nil, err
	}
	return last, nil
}

// wrongState says that something can't be done in the state that a sandbox is in.
func (s *sandbox) wrongState(remedy string) error {
	return fault.New(fault.Precondition, fault.ReasonState, s.name, "sandbox %q is %s: %s", s.name, stateText(s.state()), remedy)
}

// Start runs a sandbox and waits until its guest is ready.
func (n *Node) Start(ctx context.Context, name string) (*bulkheadv1.Sandbox, error) {
	return n.command(ctx, name, (*sandbox).startCommand, func(s *sandbox) (bool, error) {
		switch s.state() {
		case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
			return false, nil
		case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED:
			return true, nil
		}
		return false, s.notStarted()
	})
}

// notStarted is the error of a start that has failed.
func (s *sandbox) notStarted() error {
	if isFull(s.failure) {
		return fault.NoSpace(s.name, fmt.Sprintf("sandbox %q did not start", s.name), s.failure)
	}
	return fault.New(fault.Aborted, fault.ReasonStartFailed, s.name, "sandbox %q did not start: %s", s.name, exitText(s.status().GetExit()))
}

func (s *sandbox) startCommand() error {
	switch s.state() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING:
		return nil
	case bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED:
		return s.wrongState("resume it")
	case bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING, bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
		return s.wrongState("wait until it has stopped")
	}
	if s.node.draining.Load() {
		return errDraining
	}
	rested := s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED)
	if rested {
		if err := s.node.reserve(s.host, s.spec()); err != nil {
			return err
		}
	}
	err := s.begin(false)
	if err != nil && rested {
		s.node.ledger.Release(s.host)
	}
	return noSpace(s.name, fmt.Sprintf("sandbox %q is not started", s.name), err)
}

// hasStopped is what those wait for who end a sandbox.
func hasStopped(s *sandbox) (bool, error) {
	return s.deleted || !s.alive() && !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING), nil
}

// Stop asks a sandbox to end, its command by SIGTERM and when grace is over by
// SIGKILL, and waits for that.
func (n *Node) Stop(ctx context.Context, name string, grace time.Duration) (*bulkheadv1.Sandbox, error) {
	return n.command(ctx, name, func(s *sandbox) error {
		if s.alive() {
			s.end(bulkheadv1.ExitReason_EXIT_REASON_STOPPED, grace, "stopping: "+reasonText(bulkheadv1.ExitReason_EXIT_REASON_STOPPED))
		}
		s.stayDown()
		return nil
	}, hasStopped)
}

// Kill ends a sandbox at once, and waits for that.
func (n *Node) Kill(ctx context.Context, name string) (*bulkheadv1.Sandbox, error) {
	return n.command(ctx, name, func(s *sandbox) error {
		switch {
		case s.alive():
			s.kill("stopping: " + reasonText(bulkheadv1.ExitReason_EXIT_REASON_KILLED))
		case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING) && !s.record.GetKilled():
			s.killNow("killed while it was stopping")
		}
		s.stayDown()
		return nil
	}, hasStopped)
}

// stayDown has a sandbox that waits for its restart wait no more.
func (s *sandbox) stayDown() {
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF) {
		s.rest("stopped: it is not to be restarted")
	}
}

// Delete removes a sandbox, and waits for that. One that is running is only
// killed with force. uid, if not empty, must be its own.
func (n *Node) Delete(ctx context.Context, name, uid string, force bool) error {
	_, err := n.command(ctx, name, func(s *sandbox) error {
		if own := s.record.GetSandbox().GetUid(); uid != "" && uid != own {
			return noSandbox(name + " (" + uid + ")")
		}
		if !force && (s.alive() || s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING)) {
			return s.wrongState("stop it first, or delete it with force")
		}
		s.doom("a client deletes it")
		return nil
	}, (*sandbox).isDeleted)
	return err
}

// removalFailed reports whether what is left of the sandbox couldn't be removed when that
// was tried last.
func (s *sandbox) removalFailed() bool {
	return s.failure != nil && s.work == nil && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_DELETING)
}

// isDeleted is what those wait for who delete a sandbox. They aren't kept waiting
// for what may never be.
func (s *sandbox) isDeleted() (bool, error) {
	if s.deleted || !s.removalFailed() {
		return s.deleted, nil
	}
	return false, notYet(s.name, fmt.Sprintf("sandbox %q is not deleted yet", s.name), s.failure)
}

// notYet is the error of a removal that is tried again. what is the sentence's beginning.
func notYet(subject, what string, err error) *fault.Error {
	what += ", which is tried again"
	if isFull(err) {
		return fault.NoSpace(subject, what, err)
	}
	return &fault.Error{Kind: fault.Unavailable, Reason: fault.ReasonState, Subject: subject, Message: what, Err: err, RetryAfter: keepAgain}
}
