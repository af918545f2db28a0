package node

import (
	"fmt"

	"github.com/docker/go-units"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
)

// checkRoom fails unless so many bytes more may be written to the disk of snapshots.
func (n *Node) checkRoom(bytes int64) error {
	return n.snapshots.CheckRoom(bytes, n.limits.Load().SnapshotReserve)
}

// stage makes a place for a snapshot of a sandbox in a directory, if there is room for
// any.
func (n *Node) stage(dir *snapshots.Dir, sandbox string) (*snapshots.Stage, error) {
	if err := dir.CheckRoom(0, n.limits.Load().SnapshotReserve); err != nil {
		return nil, err
	}
	return dir.Stage(sandbox)
}

// budget is what a client may still have of snapshots, in bytes.
type budget struct {
	left    uint64
	endless bool
	over    error // that it is used up
}

// take takes bytes out of it, for one goroutine.
func (b *budget) take(bytes int64) error {
	if b.endless {
		return nil
	}
	if uint64(bytes) > b.left {
		return b.over
	}
	b.left -= uint64(bytes)
	return nil
}

// snapshotBudget returns a client's. It fails if there is nothing left of it, or if the
// client has as many snapshots as it may have. The caller holds n.saves.
func (n *Node) snapshotBudget(client string) (*budget, error) {
	if err := n.checkSnapshotCount(client); err != nil {
		return nil, err
	}
	b, err := n.budget(client, nil)
	if err == nil && !b.endless && b.left == 0 {
		err = b.over
	}
	return b, err
}

// budget returns what a client may have beside all that there is, and what more counts. It
// fails if that is too much already. The caller holds n.saves.
func (n *Node) budget(client string, more func(*snapshots.Usage) error) (*budget, error) {
	l := n.limits.Load()
	b := &budget{endless: true}
	if l.SnapshotBytes == 0 && l.SnapshotBytesPerClient == 0 {
		return b, nil
	}
	all, own, err := n.snapshotUsage(client)
	if err != nil {
		return nil, err
	}
	for _, bound := range []struct {
		who  string
		used *snapshots.Usage
		most uint64
	}{{"client " + client, own, l.SnapshotBytesPerClient}, {"this node", all, l.SnapshotBytes}} {
		if bound.most == 0 {
			continue
		}
		before := bound.used.Bytes
		if more != nil {
			if err := more(bound.used); err != nil {
				return nil, fmt.Errorf("size of the snapshot: %w", err)
			}
		}
		over := fault.New(fault.Exhausted, fault.ReasonSnapshotBytes, client, "%s has snapshots of %s, and may have %s of them: delete some first",
			bound.who, units.BytesSize(float64(before)), units.BytesSize(float64(bound.most)))
		if more != nil && bound.used.Bytes > bound.most {
			return nil, over
		}
		if left := bound.most - min(bound.used.Bytes, bound.most); b.endless || left < b.left {
			b.left, b.endless, b.over = left, false, over
		}
	}
	return b, nil
}

// snapshotUsage returns how much all snapshots take of the disk, and a client's: those that
// are being merged as much as if they shared nothing. The caller holds n.saves.
func (n *Node) snapshotUsage(client string) (all, own *snapshots.Usage, err error) {
	names, err := n.snapshots.Names()
	if err != nil {
		return nil, nil, err
	}
	all, own = new(snapshots.Usage), new(snapshots.Usage)
	for _, name := range names {
		if err := n.countTaken(all, name); err != nil {
			return nil, nil, err
		}
		if s, ok := n.listed(name); ok && s.GetClient() == client {
			if err := n.countTaken(own, name); err != nil {
				return nil, nil, err
			}
		}
	}
	return all, own, nil
}

func (n *Node) countTaken(u *snapshots.Usage, name string) error {
	if n.mergings[name] == nil {
		return n.snapshots.Count(u, name)
	}
	alone := new(snapshots.Usage)
	err := n.snapshots.Count(alone, name)
	u.Bytes += alone.Bytes
	return err
}

// publish has a snapshot get its name, if the client may have as much more as count
// counts.
func (n *Node) publish(client string, count func(*snapshots.Usage) error, do func() error) error {
	n.saves.Lock() // nobody else's comes in between
	defer n.saves.Unlock()
	if _, err := n.budget(client, count); err != nil {
		return err
	}
	return do()
}
