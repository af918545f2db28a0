package node

import (
	"slices"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
)

// giveWay gives a sandbox its share of the node of what members of pools have, for whom
// nobody has asked yet: those that aren't ready first, then the youngest. It reports
// whether that was enough; if it can't be, no member goes. A member's memory may be in
// use for the moment that it takes to end.
func (n *Node) giveWay(host string, need capacity.Resources) bool {
	members := n.membersThatMayGo()
	total, given := n.ledger.Totals()
	for _, m := range members {
		share := needs(m.seen.Load().GetSpec())
		given.CPUs, given.Memory = given.CPUs-share.CPUs, given.Memory-share.Memory
	}
	if given.CPUs+need.CPUs > total.CPUs || given.Memory+need.Memory > total.Memory {
		return false
	}
	for _, m := range members {
		m.evict()
		if n.ledger.Reserve(host, need) == nil {
			return true
		}
	}
	return false
}

// membersThatMayGo returns all that aren't going already, in the order in which they give
// way.
func (n *Node) membersThatMayGo() []*sandbox {
	n.mu.Lock()
	var ready, coming []*sandbox
	for _, m := range n.members {
		switch {
		case m.isReady():
			ready = append(ready, m)
		case m.isComing():
			coming = append(coming, m)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(ready, older)
	slices.SortFunc(coming, older)
	slices.Reverse(ready)
	slices.Reverse(coming)
	return append(coming, ready...)
}

// evict has a member give its share back, and go; unless it is claimed, or goes, already.
func (s *sandbox) evict() {
	done := make(chan struct{})
	call := func() {
		defer close(done)
		if s.doomed.Swap(true) {
			return
		}
		s.node.ledger.Release(s.host)
		s.doom("it gives way to a sandbox")
	}
	select {
	case s.calls <- call:
		<-done
	case <-s.gone:
	}
}
