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
// client has as many snapshots as it may have.
func (n *Node) snapshotBudget(client string) (*budget, error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	if err := n.checkSnapshotCount(client); err != nil {
		return nil, err
	}
	return n.budget(client)
}

// budget is snapshotBudget for who holds n.saves, and has looked how many there are.
func (n *Node) budget(client string) (*budget, error) {
	l := n.limits.Load()
	if l.SnapshotBytes == 0 && l.SnapshotBytesPerClient == 0 {
		return &budget{endless: true}, nil
	}
	all, own, err := n.snapshotBytes(client)
	if err != nil {
		return nil, err
	}
	b := &budget{endless: true}
	for _, bound := range []struct {
		who        string
		used, most uint64
	}{{"client " + client, own, l.SnapshotBytesPerClient}, {"this node", all, l.SnapshotBytes}} {
		if left := bound.most - min(bound.used, bound.most); bound.most > 0 && (b.endless || left < b.left) {
			b.left, b.endless = left, false
			b.over = fault.New(fault.Exhausted, fault.ReasonSnapshotBytes, client, "%s has snapshots of %s, and may have %s of them: delete some first",
				bound.who, units.BytesSize(float64(bound.used)), units.BytesSize(float64(bound.most)))
		}
	}
	if !b.endless && b.left == 0 {
		return nil, b.over
	}
	return b, nil
}

// snapshotBytes returns how much all snapshots take of the disk, and a client's.
func (n *Node) snapshotBytes(client string) (all, own uint64, err error) {
	names, err := n.snapshots.Names()
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		bytes, err := n.snapshots.Bytes(name)
		if err != nil {
			return 0, 0, err
		}
		all += bytes
		if s, ok := n.listed(name); ok && s.GetClient() == client {
			own += bytes
		}
	}
	return all, own, nil
}

// publish has a snapshot get its name, if the client may have as much more as it
// takes.
func (n *Node) publish(client string, bytes func() (uint64, error), do func() error) error {
	n.saves.Lock() // nobody else's comes in between
	defer n.saves.Unlock()
	b, err := n.budget(client)
	if err != nil {
		return err
	}
	if !b.endless {
		size, err := bytes()
		if err != nil {
			return fmt.Errorf("size of the snapshot: %w", err)
		}
		if err := b.take(int64(size)); err != nil {
			return err
		}
	}
	return do()
}
