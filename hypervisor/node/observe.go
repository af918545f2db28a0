package node

import bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"

// Observer hears what metrics are made of. Its methods must not block.
type Observer interface {
	// Started is told of each start that succeeded.
	Started(*bulkheadv1.SandboxStatus)
	// Ended is told how each run ended.
	Ended(*bulkheadv1.SandboxExit)
	// Saved is told of each snapshot that was taken.
	Saved(*bulkheadv1.Snapshot)
}

func (n *Node) observeStart(s *bulkheadv1.SandboxStatus) {
	if n.config.Observer != nil {
		n.config.Observer.Started(s)
	}
}

func (n *Node) observeExit(e *bulkheadv1.SandboxExit) {
	if n.config.Observer != nil {
		n.config.Observer.Ended(e)
	}
}

func (n *Node) observeSnapshot(s *bulkheadv1.Snapshot) {
	if n.config.Observer != nil {
		n.config.Observer.Saved(s)
	}
}
