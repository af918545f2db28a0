package node

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// checkSnapshotCount fails if the client has as many snapshots as it may have. The
// caller holds n.saves.
func (n *Node) checkSnapshotCount(client string) error {
	most := n.limits.Load().PerClient
	if most == 0 {
		return nil
	}
	names, err := n.snapshots.Names()
	if err != nil {
		return err
	}
	count := 0
	for _, name := range names {
		if s, ok := n.listed(name); ok && s.GetClient() == client {
			count++
		}
	}
	for _, s := range n.savings {
		if s.client == client {
			count++
		}
	}
	if count >= most {
		return fault.New(fault.Exhausted, fault.ReasonTooManySnapshots, client,
			"client %s has %d snapshots, the most that it may have: delete one first", client, count)
	}
	return nil
}

// savedBefore returns what the same request has made or begun, or the error if it
// was another. The caller holds n.saves.
func (n *Node) savedBefore(r *bulkheadv1.CreateSnapshotRequest, client string) (*saving, error) {
	all := make([]*saving, 0, len(n.savings))
	for _, s := range n.savings {
		all = append(all, s)
	}
	if r.GetRequestId() != "" || r.GetName() != "" && n.snapshots.Has(r.GetName()) {
		names, err := n.snapshots.Names()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if r.GetRequestId() == "" && name != r.GetName() {
				continue
			}
			if s, err := n.snapshots.Get(name); err == nil {
				all = append(all, madeBefore(s))
			}
		}
	}
	for _, s := range all {
		switch {
		case s.repeats(r, client):
			return s, nil
		case r.GetName() == s.request.GetName():
			return nil, nameTaken(r.GetName())
		case r.GetRequestId() != "" && r.GetRequestId() == s.request.GetRequestId() && client == s.client:
			return nil, &fault.Error{Kind: fault.Exists, Reason: fault.ReasonRequestIDUsed, Resource: fault.ResourceSnapshot, Subject: s.request.GetName(),
				Message: fmt.Sprintf("request ID %q made snapshot %q, which is another one: use each ID for one request", r.GetRequestId(), s.request.GetName())}
		}
	}
	if r.GetName() != "" && n.snapshots.Has(r.GetName()) { // and is damaged
		return nil, nameTaken(r.GetName())
	}
	return nil, nil
}

// madeBefore is what has become of the request that made a snapshot.
func madeBefore(s *snapshots.Snapshot) *saving {
	made := s.Record.GetSnapshot()
	done := make(chan struct{})
	close(done)
	return &saving{
		request: &bulkheadv1.CreateSnapshotRequest{
			Sandbox: made.GetSandbox(), Name: made.GetName(), Labels: made.GetLabels(), RequestId: s.Record.GetRequestId(), Full: s.Record.GetFull(),
		},
		client: made.GetClient(), done: done, made: made,
	}
}
