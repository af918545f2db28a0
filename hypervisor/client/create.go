package client

import (
	"context"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Create makes a sandbox. Where the connection was lost before the answer came, it
// asks a second time, which makes no second one: a request with neither a name nor
// an ID gets an ID.
func (c *Client) Create(ctx context.Context, r *bulkheadv1.CreateSandboxRequest) (*bulkheadv1.Sandbox, error) {
	if r.GetName() == "" {
		r = identified(r)
	}
	answer, err := twice(ctx, c.CreateSandbox, r)
	return answer.GetSandbox(), err
}
