package node

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

const (
	// searchTime is how long a claim looks for a member that is ready, while others wait
	// for it to be admitted.
	searchTime = 500 * time.Millisecond
	// handTime is how much of that a member's worker may take to say that its machine
	// stands still: where one hangs, there is time for another.
	handTime = searchTime / 2
)

// claimWarm has the sandbox of a record be a member that is ready, in one step; it
// returns nil if there is none that says so in time. It fails if nobody waits for the
// claim any more, of which nothing has begun. The caller holds n.admission.
func (n *Node) claimWarm(c *claiming, p *pool, record *storev1.Record) (*sandbox, error) {
	end := time.Now().Add(searchTime)
	for _, m := range n.membersOf(p.uid) {
		if !m.isReady() || m.seen.Load().GetSpec().GetTemplate() != record.GetSandbox().GetSpec().GetTemplate() {
			continue
		}
		left := time.Until(end)
		if left <= 0 || c.ctx.Err() != nil {
			break
		}
		member, err := m.handOver(min(left, handTime))
		if err != nil {
			continue // it is set aside, or going
		}
		return n.take(c, p, member, becoming(member.record, record))
	}
	return nil, context.Cause(c.ctx)
}

// becoming returns the record of a sandbox that a pool's member becomes: it is STARTING,
// with all that the member has.
func becoming(member, record *storev1.Record) *storev1.Record {
	r := cloneRecord(record)
	r.Claim.Warm = true
	r.HostName, r.Worker, r.Links, r.Template = hostName(member), member.GetWorker(), member.GetLinks(), member.GetTemplate()
	r.Sandbox.Status = &bulkheadv1.SandboxStatus{
		State: bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, StartTime: timestamppb.Now(),
		Origin: &bulkheadv1.SandboxOrigin{Template: member.GetTemplate(), Pool: r.GetClaim().GetPool()},
	}
	return r
}

// claimMessage is what watchers read of a sandbox that is claimed.
func claimMessage(p *pool) string { return fmt.Sprintf("claimed from pool %q", p.name) }

// take makes the sandbox of a record of a member that was handed over. If that can't be
// kept, the member goes on as one.
func (n *Node) take(c *claiming, p *pool, m handedOver, record *storev1.Record) (*sandbox, error) {
	change := store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Message: claimMessage(p), Optional: true}
	if _, err := n.config.Store.Claim(record, change); err != nil {
		if _, ok := n.add(m.record, func(s *sandbox) { s.stayMember(m.instance) }); !ok {
			m.detach(n.config.Log)
		}
		return nil, noSpace(record.GetSandbox().GetName(), "the sandbox is not created", err)
	}
	box, ok := n.add(cloneRecord(record), func(s *sandbox) {
		s.timings, s.counts = c.timings, p
		s.await(c)
		s.takeOver(m.instance)
	})
	if !ok {
		m.detach(n.config.Log)
		return nil, errNodeClosing
	}
	return box, nil
}
