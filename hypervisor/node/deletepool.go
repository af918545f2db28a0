package node

import (
	"context"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// DeletePool removes a pool, and waits until its members are gone. uid, if not empty,
// must be its own. It goes on when ctx ends, and with the next node when this one does:
// members whose pool isn't known are removed by whoever finds them.
func (n *Node) DeletePool(ctx context.Context, name, uid string) error {
	if err := n.checkPools(); err != nil {
		return err
	}
	p, err := n.beginDeletingPool(name, uid)
	if err != nil {
		return err
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
	if err != nil {
		return nil, err
	}
	if uid != "" && uid != p.uid {
		return nil, poolFault(fault.NotFound, fault.ReasonNoPool, name, "there is no pool %q (%.64s)", name, uid)
	}
	if err := n.config.Store.DeletePool(name); err != nil {
		return nil, poolSpace(name, "is not deleted", err)
	}
	p.deleted.Store(true)
	p.wake()
	p.log.Info("pool deleted", zap.String("uid", p.uid))
	return p, nil
}
