package client

import (
	"context"
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Snapshot saves a running sandbox. As Create, it asks a second time where the
// connection was lost, which makes no second snapshot.
func (c *Client) Snapshot(ctx context.Context, r *bulkheadv1.CreateSnapshotRequest) (*bulkheadv1.Snapshot, error) {
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = rand.Text()
	}
	answer, err := c.Snapshots.CreateSnapshot(ctx, r)
	if lost(err) {
		answer, err = c.Snapshots.CreateSnapshot(ctx, r)
	}
	return answer.GetSnapshot(), err
}

// Fork makes running copies of a running sandbox; likewise.
func (c *Client) Fork(ctx context.Context, r *bulkheadv1.ForkSandboxRequest) ([]*bulkheadv1.Sandbox, error) {
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = rand.Text()
	}
	answer, err := c.ForkSandbox(ctx, r)
	if lost(err) {
		answer, err = c.ForkSandbox(ctx, r)
	}
	return answer.GetSandboxes(), err
}
