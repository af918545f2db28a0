package client

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Create makes a sandbox. Where the connection was lost before the answer came, it
// asks a second time, which makes no second one: a request with neither a name nor
// an ID gets an ID.
func (c *Client) Create(ctx context.Context, r *bulkheadv1.CreateSandboxRequest) (*bulkheadv1.Sandbox, error) {
	if r.GetName() == "" && r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = rand.Text()
	}
	answer, err := c.CreateSandbox(ctx, r)
	if lost(err) {
		answer, err = c.CreateSandbox(ctx, r)
	}
	return answer.GetSandbox(), err
}

// lost reports whether an error is the connection's: a node that answers gives
// details.
func lost(err error) bool {
	return status.Code(err) == codes.Unavailable && len(status.Convert(err).Details()) == 0
}
