package node

import (
	"slices"
	"strings"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// newMember returns the record of a pool's next member, which is starting. Its name is
// none that a client can give a sandbox.
func newMember(p *bulkheadv1.Pool, s *bulkheadv1.SandboxSpec) *storev1.Record {
	r := newRecord(&bulkheadv1.CreateSandboxRequest{Name: supervise.OwnMark + newID()}, s, p.GetClient())
	r.Pool = p.GetUid()
	r.Sandbox.Status = &bulkheadv1.SandboxStatus{State: bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, StartTime: timestamppb.Now()}
	return r
}

// membersOf returns a pool's members, those that came first at first.
func (n *Node) membersOf(pool string) (all []*sandbox) {
	n.mu.Lock()
	for _, m := range n.members {
		if m.pool == pool {
			all = append(all, m)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(all, older)
	return all
}

// older compares members by when they were made.
func older(a, b *sandbox) int {
	if c := a.seen.Load().GetCreateTime().AsTime().Compare(b.seen.Load().GetCreateTime().AsTime()); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// isReady reports whether a member can be claimed, as far as anybody but its goroutine
// can know.
func (s *sandbox) isReady() bool {
	return s.usable.Load() != nil && !s.doomed.Load() && s.seen.Load().GetStatus().GetState() == bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
}

// isComing reports whether a member that isn't ready is on its way to that: it starts, or is
// found or asked again.
func (s *sandbox) isComing() bool {
	if s.doomed.Load() || s.isReady() {
		return false
	}
	state := s.seen.Load().GetStatus().GetState()
	return state == bulkheadv1.SandboxState_SANDBOX_STATE_STARTING || state == bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
}

// standReady is for a member whose machine has come up and stands still.
func (s *sandbox) standReady() {
	s.status().State = bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
	s.use()
	s.keep("ready to be claimed")
	if p := s.node.poolOf(s); p != nil {
		p.forgetTrouble()
		p.wake()
	}
}

// foundReady is for a member whose worker was found again. What somebody else has let run
// is nobody's to claim any more.
func (s *sandbox) foundReady(machine vmmv1.MachineState) {
	s.use()
	s.log.Info("found again", zap.Stringer("machine", machine))
	if machine != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		s.doom("its machine doesn't stand still")
	}
	if p := s.node.poolOf(s); p != nil {
		p.wake()
	}
}

// memberEnded is finish for a member: nothing is left of its run. Another one takes its
// place.
func (s *sandbox) memberEnded(exit *bulkheadv1.SandboxExit) {
	if p := s.node.poolOf(s); p != nil && !s.record.GetDoomed() {
		p.failed("a member ended: "+exitText(exit), false)
	}
	s.remove("deleted because it ended: " + exitText(exit))
}

// retire has a member be removed, unless it is claimed before it hears of that.
func (s *sandbox) retire(why string) {
	if s.doomed.Swap(true) {
		return
	}
	s.post(func() { s.doom(why) })
}

// forgetMember removes a member that was deleted, or claimed.
func (n *Node) forgetMember(s *sandbox) {
	n.mu.Lock()
	if n.members[s.name] == s {
		delete(n.members, s.name)
	}
	p := n.pools[s.pool]
	n.mu.Unlock()
	n.memberEnds.Notify(0)
	if p != nil {
		p.wake()
	}
}
