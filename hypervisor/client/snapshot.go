package client

import (
	"context"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Snapshot saves a running sandbox. As Create, it asks a second time where the
// connection was lost, which makes no second snapshot.
func (c *Client) Snapshot(ctx context.Context, r *bulkheadv1.CreateSnapshotRequest) (*bulkheadv1.Snapshot, error) {
	answer, err := twice(ctx, c.Snapshots.CreateSnapshot, identified(r))
	return answer.GetSnapshot(), err
}

// Fork makes running copies of a running sandbox; likewise.
func (c *Client) Fork(ctx context.Context, r *bulkheadv1.ForkSandboxRequest) ([]*bulkheadv1.Sandbox, error) {
	answer, err := twice(ctx, c.ForkSandbox, identified(r))
	return answer.GetSandboxes(), err
}
