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
	bytes  uint64        // that it may write
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
	m, err := n.beginMerging(s)
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
func (n *Node) beginMerging(s *bulkheadv1.Snapshot) (*merging, error) {
	name := s.GetName()
	n.saves.Lock()
	defer n.saves.Unlock()
	if m := n.mergings[name]; m != nil {
		return m, nil
	}
	m := &merging{done: make(chan struct{})}
	n.mergings[name] = m
	err := n.checkMerging(s, m)
	if err == nil {
		err = n.background(func() { n.merge(name, m) })
	}
	if err != nil {
		delete(n.mergings, name)
		return nil, explainMerge(name, err)
	}
	return m, nil
}

// checkMerging fails unless there is room for what m, which is among n.mergings, writes of
// s, and the client whose it is may have that: the merged snapshot shares no memory with
// others any more. The caller holds n.saves.
func (n *Node) checkMerging(s *bulkheadv1.Snapshot, m *merging) error {
	if s.GetLayers() < 2 {
		return nil
	}
	alone := new(snapshots.Usage)
	if err := n.snapshots.Count(alone, s.GetName()); err != nil {
		return err
	}
	m.bytes = min(alone.Bytes, s.GetMemoryBytes())
	total := uint64(0)
	for _, m := range n.mergings {
		total += m.bytes
	}
	if err := n.checkRoom(int64(total)); err != nil {
		return err
	}
	_, err := n.budget(s.GetClient(), func(*snapshots.Usage) error { return nil })
	return err
}

func (n *Node) merge(name string, m *merging) {
	ctx, end := n.untilClosing(context.Background())
	defer end()
	if m.err = explainMerge(name, n.snapshots.Merge(ctx, name)); m.err == nil {
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
