package node

import (
	"errors"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// claimedAgain is for a claim that made the sandbox before. One whose first start was
// begun isn't started once more.
func (s *sandbox) claimedAgain(c *claiming) {
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_CREATED) {
		if err := s.startCommand(); err != nil {
			c.told <- err
			return
		}
	}
	s.await(c)
}

// await has a claim hear when the sandbox has started, or that it didn't.
func (s *sandbox) await(c *claiming) {
	c.look = func() (bool, error) {
		c.box = s.seen.Load()
		switch {
		case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING):
			return false, nil
		case s.hasStarted():
			return true, nil
		}
		return false, s.notStarted()
	}
	s.waiters = append(s.waiters, c.waiter)
}

// hasStarted reports whether the last start succeeded, also of a sandbox that has ended
// since: each start begins without phases, and has them when it did.
func (s *sandbox) hasStarted() bool {
	return s.is(bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED) || len(s.status().GetPhases()) > 0
}

// startsCold has a start go on from the template that couldn't go on from a pool's
// member. It reports whether it does.
func (s *sandbox) startsCold(err error) bool {
	if err == nil || !isRestoreError(err) || !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) || !s.forgetClaim() {
		return false
	}
	s.log.Warn("it can't go on from the pool's member, and starts from the template", zap.Error(err))
	s.launch()
	return true
}

// forgetClaim has the sandbox not go on from a pool's member any more, and reports
// whether it did.
func (s *sandbox) forgetClaim() bool {
	origin := s.status().GetOrigin()
	if origin.GetPool() == "" {
		return false
	}
	s.status().Origin = proto.CloneOf(origin)
	s.status().Origin.Pool, s.timings = "", nil
	s.keep("its pool's member is lost: starting from the template")
	return true
}

// isRestoreError reports whether an error is of a guest that couldn't go on.
func isRestoreError(err error) bool {
	var failed *instance.RestoreError
	return errors.As(err, &failed)
}
