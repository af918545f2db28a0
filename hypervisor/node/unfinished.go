package node

import (
	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// findUnfinished finds what an earlier node was at, for its sandboxes, which are known,
// to look after; and returns forks.
func (n *Node) findUnfinished(known map[string]bool) ([]*snapshots.Fork, error) {
	stages, forks, err := n.snapshots.Sweep(n.leftover)
	if err != nil {
		return nil, err
	}
	for _, stage := range stages {
		if name := stage.Sandbox(); known[name] {
			n.unfinished[name] = append(n.unfinished[name], stage)
		} else {
			n.stray("snapshot", name, stage.Close())
		}
	}
	return forks, nil
}

// leftover is told of what an earlier node was at and can't be removed: this one goes on
// without.
func (n *Node) leftover(name string, err error) {
	n.config.Log.Error("remove what is left of a snapshot", zap.String("directory", name), zap.Error(err))
}

// abandon removes the copies of forks that were under way.
func (n *Node) abandon(forks []*snapshots.Fork, records []*storev1.Record) {
	for _, dir := range forks {
		var names []string
		for _, r := range records {
			if r.GetFork() == dir.Name() {
				names = append(names, r.GetSandbox().GetName())
			}
		}
		n.background(func() { n.removeFork(dir, names) }) // or the next node does
	}
}
