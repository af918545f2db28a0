package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// save has the sandbox's goroutine save it, and waits for that. The stage is the
// sandbox's to close after an error that is instance.ErrFrozen.
func (s *sandbox) save(stage *snapshots.Stage, r *storev1.Snapshot) error {
	saved := make(chan error, 1)
	err := s.do(context.Background(), func() error {
		return s.beginSave(stage, r, func(err error) { saved <- err })
	}, now)
	if err != nil {
		return err
	}
	return <-saved // which comes: work ends before its sandbox's goroutine does
}

// beginSave begins the work of saving a sandbox that is RUNNING, and stays so. Who
// stops it meanwhile calls that off.
func (s *sandbox) beginSave(stage *snapshots.Stage, r *storev1.Snapshot, saved func(error)) error {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING) {
		return s.wrongState("only one that is running can be saved")
	}
	if s.instance == nil || s.work != nil {
		return s.busy()
	}
	if p := s.status().GetProblem(); p != "" {
		return fault.New(fault.Precondition, fault.ReasonState, s.name, "sandbox %q can't be saved: %s", s.name, p)
	}
	i := s.instance
	var err error
	if r.Images, err = i.Reads(); err != nil {
		return err
	}
	if len(r.GetFiles()) == 0 { // a template has more of them
		if r.Files, err = filesAmong(r.GetImages()); err != nil {
			return err
		}
	}
	owner, err := snapshots.Owner(r)
	if err != nil {
		return fmt.Errorf("encode what is kept with a snapshot: %w", err)
	}
	want := &vmmv1.SnapshotRequest{Path: stage.Path(), Owner: owner, Uid: r.GetSnapshot().GetUid(), Whole: r.GetFull()}
	end := s.usage.begin()
	s.frozen = true
	s.start(func(ctx context.Context) func() {
		err := i.Snapshot(ctx, want)
		return func() {
			end()
			s.saved(stage, err)
			saved(err)
		}
	})
	return nil
}

// busy is for who wants what takes the sandbox's work to be over.
func (s *sandbox) busy() error {
	return &fault.Error{Kind: fault.Unavailable, Reason: fault.ReasonState, Subject: s.name,
		Message: fmt.Sprintf("sandbox %q is being saved, or found again, or has just ended: try again", s.name), RetryAfter: time.Second}
}

// saved is how that went.
func (s *sandbox) saved(stage *snapshots.Stage, err error) {
	switch {
	case errors.Is(err, errNodeClosing): // the next one has it go on
	case errors.Is(err, instance.ErrFrozen) && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING):
		s.stop()                                               // which has it go on if need be, and doesn't wait for more than that
		s.node.background(func() { s.node.closeStage(stage) }) // a node that is closing leaves it to the next one
	case errors.Is(err, instance.ErrFrozen):
		s.log.Error("the guest stands still after a snapshot", zap.Error(err))
		s.thaw(stage)
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING): // it was told to meanwhile
		s.stop()
	default:
		s.frozen = false
	}
}

// takeStages returns the stages that an earlier node has left of the sandbox's
// snapshots. They are the caller's.
func (s *sandbox) takeStages() []*snapshots.Stage {
	n := s.node
	n.mu.Lock()
	defer n.mu.Unlock()
	stages := n.unfinished[s.name]
	delete(n.unfinished, s.name)
	return stages
}

// forgetStages closes them, for a sandbox that isn't to go on, and reports whether
// there were any.
func (s *sandbox) forgetStages() bool {
	stages := s.takeStages()
	for _, stage := range stages {
		s.node.closeStage(stage)
	}
	return len(stages) > 0
}
