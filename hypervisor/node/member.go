package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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

func (n *Node) countMembers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.members)
}

// isReady reports whether a member can be claimed, as far as anybody but its goroutine
// can know.
func (s *sandbox) isReady() bool {
	return s.usable.Load() != nil && !s.doomed.Load() && s.seen.Load().GetStatus().GetState() == bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
}

// isComing reports whether a member that isn't ready is on its way to that: it starts, or
// is found again.
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

// errNotReady is of a member that can't be claimed.
var errNotReady = errors.New("the member isn't ready")

// handOver has a member let go of its worker, and end; its worker, its share of the node,
// and all that it has on the host are whose record it returns. One that turns out not to
// stand ready is removed.
func (s *sandbox) handOver() (r *storev1.Record, err error) {
	done := make(chan error, 1)
	call := func() {
		r, err = s.letGoOfWorker()
		done <- err
	}
	select {
	case s.calls <- call:
		return r, <-done
	case <-s.gone:
		return nil, errNotReady
	}
}

// handTime is how long a member's worker may take to say that its machine stands still:
// who claims it, and others, wait for that.
const handTime = 500 * time.Millisecond

func (s *sandbox) letGoOfWorker() (*storev1.Record, error) {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED) || s.work != nil || s.instance == nil || s.doomed.Load() {
		return nil, errNotReady
	}
	ctx, cancel := context.WithTimeout(context.Background(), handTime)
	defer cancel()
	if is, err := s.instance.Describe(ctx); err != nil || is != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		s.doom("it doesn't answer, or doesn't stand still")
		return nil, errNotReady
	}
	s.usable.Store(nil)
	if err := s.instance.Detach(); err != nil {
		s.log.Warn("let go of the member", zap.Error(err))
	}
	s.instance, s.handed = nil, true
	return cloneRecord(s.record), nil
}

// recoverPools takes the pools of the store up again, with their members. Those whose
// pool was deleted are removed.
func (n *Node) recoverPools(members []*storev1.Record) error {
	records, err := n.config.Store.Pools()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range records {
		known[r.GetPool().GetUid()] = true
	}
	for _, r := range members { // first: pools make those that are missing
		begin := (*sandbox).recover
		if !known[r.GetPool()] {
			begin = (*sandbox).recoverStray
		}
		n.add(r, begin)
	}
	for _, r := range records {
		if _, err := n.addPool(r); err != nil {
			return err
		}
	}
	return nil
}

// recoverStray is recover for a member without a pool.
func (s *sandbox) recoverStray() {
	s.recover()
	s.doom("its pool is deleted")
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
