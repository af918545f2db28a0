package node

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// claimWarm has the sandbox of a record be a member that is ready, in one step; it
// returns nil if there is none. The caller holds n.admission.
func (n *Node) claimWarm(c *claiming, p *pool, record *storev1.Record) (*sandbox, error) {
	for _, m := range n.membersOf(p.uid) {
		if !m.isReady() || m.seen.Load().GetSpec().GetTemplate() != record.GetSandbox().GetSpec().GetTemplate() {
			continue
		}
		member, err := m.handOver()
		if err != nil {
			continue // it is being removed, and replaced
		}
		c.warm = true
		return n.take(c, p, member, becoming(member, record, p.name))
	}
	return nil, nil
}

// becoming returns the record of a sandbox that a pool's member becomes: it is STARTING,
// with all that the member has.
func becoming(member, record *storev1.Record, pool string) *storev1.Record {
	r := cloneRecord(record)
	r.HostName, r.Worker, r.Links, r.Template = hostName(member), member.GetWorker(), member.GetLinks(), member.GetTemplate()
	r.Sandbox.Status = &bulkheadv1.SandboxStatus{
		State: bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, StartTime: timestamppb.Now(),
		Origin: &bulkheadv1.SandboxOrigin{Template: member.GetTemplate(), Pool: pool},
	}
	return r
}

// claimMessage is what watchers read of a sandbox that is claimed.
func claimMessage(p *pool) string { return fmt.Sprintf("claimed from pool %q", p.name) }

// take makes the sandbox of a record of a member that was handed over. If that can't be
// kept, the member goes on as one.
func (n *Node) take(c *claiming, p *pool, member, record *storev1.Record) (*sandbox, error) {
	change := store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Message: claimMessage(p), Optional: true}
	if _, err := n.config.Store.Claim(record, change); err != nil {
		n.add(member, (*sandbox).recover) // or the next node does
		return nil, noSpace(record.GetSandbox().GetName(), "the sandbox is not created", err)
	}
	p.warm.Add(1)
	box, ok := n.add(cloneRecord(record), func(s *sandbox) {
		s.timings = c.timings
		s.await(c)
		s.attach()
	})
	if !ok {
		return nil, errNodeClosing
	}
	return box, nil
}
