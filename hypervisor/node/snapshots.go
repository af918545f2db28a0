package node

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// snapshotsName is where in StateDir snapshots are.
const snapshotsName = "snapshots"

// snapshot returns one, with an error that clients can act on.
func (n *Node) snapshot(name string) (*snapshots.Snapshot, error) {
	s, err := n.snapshots.Get(name)
	return s, explainSnapshot(name, err)
}

// explainSnapshot makes an error of the directory of snapshots one that clients can
// act on.
func explainSnapshot(name string, err error) error {
	var (
		damaged *snapshots.DamagedError
		later   *snapshot.VersionError
	)
	switch {
	case errors.Is(err, snapshots.ErrNone):
		return noSnapshot(name)
	case errors.As(err, &damaged):
		return &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonSnapshotDamaged, Resource: fault.ResourceSnapshot, Subject: name, Err: err}
	case errors.As(err, &later):
		return &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonUnfit, Resource: fault.ResourceSnapshot, Subject: name, Err: err}
	}
	return err
}

func noSnapshot(name string) error {
	if supervise.CheckName(name) != nil {
		name = fmt.Sprintf("%.64s", name)
	}
	return &fault.Error{Kind: fault.NotFound, Reason: fault.ReasonNoSnapshot, Resource: fault.ResourceSnapshot, Subject: name,
		Message: fmt.Sprintf("there is no snapshot %q", name)}
}

func nameTaken(name string) error {
	return &fault.Error{Kind: fault.Exists, Reason: fault.ReasonNameTaken, Resource: fault.ResourceSnapshot, Subject: name,
		Message: fmt.Sprintf("snapshot %q: its name is in use: choose another name, or delete that snapshot first", name)}
}

// GetSnapshot returns a snapshot.
func (n *Node) GetSnapshot(name string) (*bulkheadv1.Snapshot, error) {
	s, err := n.snapshot(name)
	if err != nil {
		return nil, err
	}
	return s.Record.GetSnapshot(), nil
}

// CountSnapshots returns how many there are.
func (n *Node) CountSnapshots() (int, error) {
	names, err := n.snapshots.Names()
	return len(names), err
}

// ListSnapshots returns a page of the snapshots that are asked for. Of one that is
// damaged it says so.
func (n *Node) ListSnapshots(r *bulkheadv1.ListSnapshotsRequest) (*bulkheadv1.ListSnapshotsResponse, error) {
	asked, err := readPage(r)
	if err != nil {
		return nil, err
	}
	names, err := n.snapshots.Names()
	if err != nil {
		return nil, err
	}
	page, bytes := &bulkheadv1.ListSnapshotsResponse{}, 0
	for _, name := range names {
		if name <= asked.after {
			continue
		}
		s, ok := n.listed(name)
		if !ok || !asked.selector.Matches(s.GetLabels()) || r.GetSandbox() != "" && r.GetSandbox() != s.GetSandbox() {
			continue
		}
		if got := len(page.Snapshots); got == asked.size || bytes >= pageBytes {
			page.NextPageToken = token(page.Snapshots[got-1].GetName(), 0)
			break
		}
		page.Snapshots, bytes = append(page.Snapshots, s), bytes+proto.Size(s)
	}
	return page, nil
}

// listed returns a snapshot as lists have it, unless it has just been deleted.
func (n *Node) listed(name string) (*bulkheadv1.Snapshot, bool) {
	s, err := n.snapshots.Get(name)
	switch {
	case errors.Is(err, snapshots.ErrNone):
		return nil, false
	case err != nil:
		return &bulkheadv1.Snapshot{Name: name, Problem: err.Error()}, true
	}
	return s.Record.GetSnapshot(), true
}

// DeleteSnapshot removes a snapshot. uid, if not empty, must be its own.
func (n *Node) DeleteSnapshot(name, uid string) error {
	return explainSnapshot(name, n.snapshots.Remove(name, uid))
}
