package node

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// merging is a merge that is under way.
type merging struct {
	done   chan struct{} // closed when the rest is set
	merged *bulkheadv1.Snapshot
	err    error
}

// MergeSnapshot makes the layers of a snapshot into one. uid, if not empty, must be
// its own. It goes on when ctx ends, until the node closes: then all is as it was.
func (n *Node) MergeSnapshot(ctx context.Context, name, uid string) (*bulkheadv1.Snapshot, error) {
	s, err := n.GetSnapshot(name)
	if err != nil {
		return nil, err
	}
	if uid != "" && s.GetUid() != uid {
		return nil, noSnapshot(name)
	}
	m, err := n.beginMerging(name)
	if err != nil {
		return nil, err
	}
	select {
	case <-m.done:
		return m.merged, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// beginMerging begins a merge, or finds the one that is under way.
func (n *Node) beginMerging(name string) (*merging, error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	if m := n.mergings[name]; m != nil {
		return m, nil
	}
	m := &merging{done: make(chan struct{})}
	if err := n.background(func() { n.merge(name, m) }); err != nil {
		return nil, err
	}
	n.mergings[name] = m
	return m, nil
}

func (n *Node) merge(name string, m *merging) {
	ctx, end := n.untilClosing(context.Background())
	defer end()
	err := n.checkMerge(name)
	if err == nil {
		err = n.snapshots.Merge(ctx, name)
	}
	if m.err = explainMerge(name, err); m.err == nil {
		m.merged, m.err = n.GetSnapshot(name)
	}
	if m.err == nil {
		n.config.Log.Info("merged", zap.String("snapshot", name), zap.Uint64("bytes", m.merged.GetStoredBytes()))
	}
	n.saves.Lock()
	delete(n.mergings, name)
	n.saves.Unlock()
	close(m.done)
}

// checkMerge fails unless there is room for all of a snapshot's memory in one file, for
// its client, too. What its layers hide of each other counts as well.
func (n *Node) checkMerge(name string) error {
	s, err := n.GetSnapshot(name)
	if err != nil || s.GetLayers() < 2 {
		return err
	}
	memory, err := n.snapshots.MemoryBytes(name)
	if err != nil {
		return err
	}
	if err := n.checkRoom(int64(memory)); err != nil {
		return err
	}
	n.saves.Lock()
	defer n.saves.Unlock()
	_, err = n.budget(s.GetClient(), name, func(u *snapshots.Usage) error {
		alone := new(snapshots.Usage) // what it shares doesn't count less any more
		err := n.snapshots.Count(alone, name)
		u.Bytes += alone.Bytes
		return err
	})
	return err
}

// explainMerge makes an error one that clients can act on.
func explainMerge(name string, err error) error {
	switch {
	case isFull(err):
		full := fault.NoSpace(name, fmt.Sprintf("snapshot %q is not merged", name), err)
		full.Resource = fault.ResourceSnapshot
		return full
	case errors.Is(err, errNodeClosing):
		return errNodeClosing
	}
	return explainSnapshot(name, err)
}
