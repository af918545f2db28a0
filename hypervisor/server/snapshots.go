package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// snapshots implements bulkheadv1.SnapshotsServer.
type snapshots struct {
	bulkheadv1.UnimplementedSnapshotsServer
	node *node.Node
}

// CreateSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) CreateSnapshot(ctx context.Context, r *bulkheadv1.CreateSnapshotRequest) (*bulkheadv1.CreateSnapshotResponse, error) {
	made, err := s.node.Snapshot(ctx, r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.CreateSnapshotResponse{Snapshot: made}, nil
}

// GetSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) GetSnapshot(ctx context.Context, r *bulkheadv1.GetSnapshotRequest) (*bulkheadv1.GetSnapshotResponse, error) {
	found, err := s.node.GetSnapshot(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetSnapshotResponse{Snapshot: shownSnapshot(ctx, found)}, nil
}

// ListSnapshots implements bulkheadv1.SnapshotsServer.
func (s *snapshots) ListSnapshots(ctx context.Context, r *bulkheadv1.ListSnapshotsRequest) (*bulkheadv1.ListSnapshotsResponse, error) {
	page, err := s.node.ListSnapshots(r)
	for i, found := range page.GetSnapshots() {
		page.Snapshots[i] = shownSnapshot(ctx, found)
	}
	return page, toStatus(err)
}

// DeleteSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) DeleteSnapshot(_ context.Context, r *bulkheadv1.DeleteSnapshotRequest) (*bulkheadv1.DeleteSnapshotResponse, error) {
	if err := s.node.DeleteSnapshot(r.GetName(), r.GetUid()); err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.DeleteSnapshotResponse{}, nil
}

// MergeSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) MergeSnapshot(ctx context.Context, r *bulkheadv1.MergeSnapshotRequest) (*bulkheadv1.MergeSnapshotResponse, error) {
	merged, err := s.node.MergeSnapshot(ctx, r.GetName(), r.GetUid())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.MergeSnapshotResponse{Snapshot: merged}, nil
}

// shownSnapshot is shown for snapshots.
func shownSnapshot(ctx context.Context, s *bulkheadv1.Snapshot) *bulkheadv1.Snapshot {
	if access.FromContext(ctx).Role != access.ReadOnly || len(s.GetSpec().GetCommand().GetEnv()) == 0 {
		return s
	}
	s = proto.CloneOf(s)
	hideValues(s.GetSpec())
	return s
}
