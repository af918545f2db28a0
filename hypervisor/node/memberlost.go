package node

import (
	"errors"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// isWarm reports whether a sandbox that was claimed went on from a member, or is about to.
func (s *sandbox) isWarm() bool {
	if c := s.record.GetClaim(); c != nil {
		return c.GetWarm()
	}
	return s.status().GetOrigin().GetPool() != "" // of a node that didn't keep it
}

// startsCold has a start go on from the template that couldn't go on from a pool's
// member. It reports whether it does.
func (s *sandbox) startsCold(err error) bool {
	if err == nil || !isRestoreError(err) || !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) || !s.loseMember() || s.record.GetDoomed() {
		return false
	}
	s.log.Warn("it can't go on from the pool's member, and starts from the template", zap.Error(err))
	s.launch()
	return true
}

// loseMember has a sandbox that is starting not go on from a pool's member any more, and
// reports whether it was to. One that was claimed to do that or not to be is deleted when
// the start has ended, which is the caller's to see to.
func (s *sandbox) loseMember() bool {
	origin := s.status().GetOrigin()
	if origin.GetPool() == "" {
		return false
	}
	s.status().Origin, s.timings = proto.CloneOf(origin), nil
	s.status().Origin.Pool = ""
	if c := proto.CloneOf(s.record.GetClaim()); c != nil {
		c.Warm, s.record.Claim = false, c
	}
	if s.record.GetClaim().GetMustBeWarm() {
		s.record.Doomed, s.counts = true, nil // kept with its end: until then the next node comes to the same
		s.doomed.Store(true)
		return true
	}
	s.keep("its pool's member is lost: starting from the template")
	return true
}

// neverWas is for who has claimed what is to be warm or not to be, and isn't warm: nothing
// is left when they hear of that.
func (s *sandbox) neverWas() error {
	gone, err := s.isDeleted()
	if gone {
		return poolEmpty(s.claimed, ", the one that was can't go on")
	}
	return err
}

// countClaim has the pool count the claim that made the sandbox, now that it is known what
// it went on from.
func (s *sandbox) countClaim() {
	p := s.counts
	switch {
	case p == nil:
	case s.isWarm():
		p.warm.Add(1)
	default:
		p.cold.Add(1)
	}
	s.counts = nil
}

// isRestoreError reports whether an error is of a guest that couldn't go on.
func isRestoreError(err error) bool {
	var failed *instance.RestoreError
	return errors.As(err, &failed)
}
