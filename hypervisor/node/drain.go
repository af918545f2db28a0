package node

import (
	"context"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Drain has the node take no more work, and waits until nothing runs. With stop,
// what runs is stopped, as Stop does it with grace. It returns how many that were.
func (n *Node) Drain(ctx context.Context, stop bool, grace time.Duration) (stopped int, err error) {
	if err := n.setDraining(true); err != nil {
		return 0, err
	}
	if grace == 0 {
		grace = defaultGrace
	}
	for _, s := range n.all() {
		s.post(func() {
			switch {
			case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF):
				s.rest("not restarted: the node is being drained")
			case stop && s.alive():
				s.end(bulkheadv1.ExitReason_EXIT_REASON_DRAINED, grace, "stopping: the node is being drained")
			}
		})
		if stop && runs(s.seen.Load()) {
			stopped++
		}
	}
	return stopped, n.untilIdle(ctx)
}

// untilIdle waits until no sandbox runs.
func (n *Node) untilIdle(ctx context.Context) error {
	for {
		changed := n.config.Store.Changed()
		if n.count(runs) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // what couldn't be kept changes nothing there
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.closing:
			return errNodeClosing
		}
	}
}

// Undrain has the node take work again.
func (n *Node) Undrain() error { return n.setDraining(false) }

func (n *Node) setDraining(draining bool) error {
	n.admission.Lock() // nothing is admitted by the old rule when this returns
	defer n.admission.Unlock()
	if err := n.config.Store.SetDraining(draining); err != nil {
		return noSpace(n.config.Name, "the node's draining is as it was", err)
	}
	n.draining.Store(draining)
	return nil
}

// runs reports whether a sandbox takes processor time of the node, or will.
func runs(s *bulkheadv1.Sandbox) bool {
	switch s.GetStatus().GetState() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_CREATED, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED,
		bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
		return false
	}
	return true
}

// count returns of how many sandboxes is is true.
func (n *Node) count(is func(*bulkheadv1.Sandbox) bool) (count int) {
	for _, s := range n.all() {
		if is(s.seen.Load()) {
			count++
		}
	}
	return count
}
