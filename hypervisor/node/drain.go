package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Drain has the node take no more work, and waits until nothing runs. Members of pools
// are removed; if one can't be, it fails when nothing else runs. With stop, what runs is
// stopped, as Stop does it with grace. It returns how many that were.
func (n *Node) Drain(ctx context.Context, stop bool, grace time.Duration) (stopped int, err error) {
	if err := n.setDraining(true); err != nil {
		return 0, err
	}
	// Each sandbox is told, and nobody is waited for before all have heard: what
	// was about to start has begun by then, or never will.
	var told sync.WaitGroup
	var count atomic.Int64
	for _, s := range n.all() {
		told.Go(func() {
			s.do(ctx, func() error {
				if s.drain(stop, grace) {
					count.Add(1)
				}
				return nil
			}, now) // one that is gone needn't hear; ctx and the node's end are heard below
		})
	}
	told.Wait()
	return int(count.Load()), n.untilIdle(ctx)
}

// drain has a sandbox heed that the node is being drained, and reports whether
// that stopped it.
func (s *sandbox) drain(stop bool, grace time.Duration) bool {
	switch {
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF):
		s.rest("not restarted: the node is being drained")
	case stop && s.alive():
		s.end(bulkheadv1.ExitReason_EXIT_REASON_DRAINED, grace, "stopping: the node is being drained")
		return true
	}
	return false
}

// untilIdle waits until no sandbox runs, and pools have no members.
func (n *Node) untilIdle(ctx context.Context) error {
	for {
		changed, ended := n.config.Store.Changed(), n.memberEnds.Changed()
		members, idle := n.allMembers(), n.count(runs) == 0
		switch {
		case idle && len(members) == 0:
			return nil
		case idle && n.draining.Load(): // or somebody wants to have them again
			if err := n.removeMembers(ctx, members, "the node is being drained"); err != nil {
				return unremoved(n.config.Name, "", "the node is drained, but not all members of pools are removed", err)
			}
			continue
		}
		select {
		case <-changed:
		case <-ended:
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
	n.wakePools() // whose members go, or come back
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
