package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// thawTries is how often a guest is tried to be made to go on, each time for as long
	// as the node has patience; firstThawPause is how long after the first failure, twice
	// that after the second, and so on up to lastThawPause.
	thawTries      = 12
	firstThawPause = time.Second
	lastThawPause  = 5 * time.Minute
)

// thaws is how a guest is being made to go on that a snapshot has left standing still.
// The zero value is none.
type thaws struct {
	failed int       // tries
	at     time.Time // of the next; zero: none is to come
}

// findFrozen has a guest go on that an earlier node has left standing still, of which
// stages, or the sandbox's problem, are the sign.
func (s *sandbox) findFrozen(stages []*snapshots.Stage) {
	s.frozen = len(stages) > 0 || s.status().GetProblem() != ""
	switch {
	case len(stages) > 0, s.frozen && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING):
		s.thaw(stages...)
	case s.frozen:
		s.thaws.at = time.Now() // once it is resumed
	}
}

// thaw is the work of having such a guest go on. Stages are its sign, for as long; after
// the first failure the sandbox's problem is.
func (s *sandbox) thaw(stages ...*snapshots.Stage) {
	i := s.instance
	s.thaws.at = time.Time{}
	s.start(func(ctx context.Context) func() {
		patient, cancel := context.WithTimeout(ctx, s.node.config.Patience)
		defer cancel()
		i.Resume(patient) // its worker may have been at it, or else doesn't notice
		err := i.Thaw(patient)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil || ctx.Err() != nil && !errors.Is(err, errNodeClosing) {
			s.closeStages(stages)
			stages = nil
		}
		return func() {
			s.thawed(err)
			if !errors.Is(err, errNodeClosing) { // another sign is kept, or none is needed
				s.node.background(func() { s.closeStages(stages) }) // a node that is closing leaves it to the next one
			}
		}
	})
}

func (s *sandbox) closeStages(stages []*snapshots.Stage) {
	for _, stage := range stages {
		s.node.closeStage(stage)
	}
}

// thawed is how that went.
func (s *sandbox) thawed(err error) {
	switch {
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING):
		s.stop()
	case err == nil:
		s.frozen, s.thaws = false, thaws{}
		s.log.Info("gone on after a snapshot")
		if s.status().GetProblem() != "" {
			s.status().Problem = ""
			s.keep("its processes go on, which stood still after a snapshot")
		}
	case !errors.Is(err, errNodeClosing):
		s.staysFrozen(err)
	}
}

// staysFrozen is for a guest that couldn't be made to go on: whoever uses the sandbox
// hears so, and it is tried again.
func (s *sandbox) staysFrozen(err error) {
	s.thaws.failed++
	next := "stop it, the node has given up"
	if s.thaws.failed < thawTries {
		pause := min(firstThawPause<<(s.thaws.failed-1), lastThawPause)
		s.thaws.at, next = time.Now().Add(pause), "the node tries again, stop it if you can't wait"
	}
	s.log.Error("the guest can't be made to go on after a snapshot", zap.Error(err), zap.Int("tries", s.thaws.failed))
	before := s.status().GetProblem()
	s.status().Problem = fmt.Sprintf("its processes stand still since a snapshot failed (%s): %v", next, err)
	if before == "" || s.thaws.at.IsZero() { // each try is no news
		s.keep(s.status().GetProblem())
	}
}

// thawTime is when to try again. Zero: not.
func (s *sandbox) thawTime() time.Time {
	if s.work != nil || s.instance == nil || !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING) { // who pauses it wants it to stand still
		return time.Time{}
	}
	return s.thaws.at
}
