package node

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// DeletePool removes a pool, and waits until its members are gone, or one of them can't
// be removed. uid, if not empty, must be its own. It goes on when ctx ends, or it fails so,
// and with the next node when this one does: members whose pool isn't known are removed by
// whoever finds them. Who calls again while it does waits, too.
func (n *Node) DeletePool(ctx context.Context, name, uid string) error {
	if err := n.checkPools(); err != nil {
		return err
	}
	p, err := n.beginDeletingPool(name, uid)
	if err != nil {
		return err
	}
	if err := n.removeMembers(ctx, n.membersOf(p.uid), "its pool is deleted"); err != nil {
		return unremoved(p.name, fault.ResourcePool, fmt.Sprintf("pool %q is deleted, but not all of its members are removed", p.name), err)
	}
	select {
	case <-p.gone:
		if n.isClosing() && len(n.membersOf(p.uid)) > 0 {
			return errNodeClosing
		}
		return nil
	case <-n.closing:
		return errNodeClosing
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *Node) beginDeletingPool(name, uid string) (*pool, error) {
	n.admission.Lock()
	defer n.admission.Unlock()
	p, err := n.findPool(name)
	if err == nil && uid != "" && uid != p.uid {
		err = poolFault(fault.NotFound, fault.ReasonNoPool, name, "there is no pool %q (%.64s)", name, uid)
	}
	if err != nil {
		if p := n.goingPool(name, uid); p != nil {
			return p, nil
		}
		return nil, err
	}
	if err := n.config.Store.DeletePool(name); err != nil {
		return nil, poolSpace(name, "is not deleted", err)
	}
	p.deleted.Store(true)
	p.wake()
	p.log.Info("pool deleted", zap.String("uid", p.uid))
	return p, nil
}

// goingPool returns a pool that is being deleted, nil if there is none.
func (n *Node) goingPool(name, uid string) *pool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pools {
		if p.name == name && p.deleted.Load() && (uid == "" || uid == p.uid) {
			return p
		}
	}
	return nil
}
