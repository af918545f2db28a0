package client

import (
	"context"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Pool makes a pool. As Create, it asks a second time where the connection was lost,
// which makes no second one.
func (c *Client) Pool(ctx context.Context, r *bulkheadv1.CreatePoolRequest) (*bulkheadv1.Pool, error) {
	answer, err := twice(ctx, c.Pools.CreatePool, identified(r))
	return answer.GetPool(), err
}

// Claim makes a sandbox of a pool's member, and says whether that was ready; likewise.
func (c *Client) Claim(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest) (box *bulkheadv1.Sandbox, warm bool, err error) {
	answer, err := twice(ctx, c.Pools.ClaimSandbox, identified(r))
	return answer.GetSandbox(), answer.GetWarm(), err
}
