package node

import (
	"slices"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
)

// giveWay gives a sandbox its share of the node of what members of pools have, for whom
// nobody has asked yet: those that are going anyhow first, then those that aren't ready,
// then the youngest. It reports whether that was enough; if it can't be, no member goes. A
// member's memory may be in use for the moment that it takes to end.
func (n *Node) giveWay(host string, need capacity.Resources) bool {
	members := n.membersThatMayGo()
	var hosts []string
	for _, m := range members {
		hosts = append(hosts, m.host)
	}
	if !n.ledger.FitsWithout(need, hosts) {
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

// membersThatMayGo returns all in the order in which they give way.
func (n *Node) membersThatMayGo() []*sandbox {
	n.mu.Lock()
	var going, ready, coming []*sandbox
	for _, m := range n.members {
		switch {
		case m.isReady():
			ready = append(ready, m)
		case m.isComing():
			coming = append(coming, m)
		default:
			going = append(going, m)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(ready, older)
	slices.SortFunc(coming, older)
	slices.Reverse(ready)
	slices.Reverse(coming)
	return slices.Concat(going, coming, ready)
}

// evict has a member give its share back, and go; unless it is claimed already.
func (s *sandbox) evict() {
	done := make(chan struct{})
	call := func() {
		defer close(done)
		if s.handed {
			return
		}
		s.node.ledger.Release(s.host) // which nobody else has under this name: it can't be claimed any more
		if !s.doomed.Swap(true) {
			s.doom("it gives way to a sandbox")
		}
	}
	select {
	case s.calls <- call:
		<-done
	case <-s.gone:
	}
}
