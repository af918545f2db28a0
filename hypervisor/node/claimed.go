package node

import (
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
		c.box, c.warm = s.seen.Load(), s.isWarm()
		switch {
		case s.record.GetClaim().GetMustBeWarm() && !c.warm:
			return false, s.neverWas()
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
