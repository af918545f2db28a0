package client

import (
	"context"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// pools is a node that answers with errors first, and keeps the IDs of requests.
type pools struct {
	bulkheadv1.PoolsClient
	errs []error
	ids  []string
}

func (p *pools) next(id string) error {
	p.ids = append(p.ids, id)
	if n := len(p.ids); n <= len(p.errs) {
		return p.errs[n-1]
	}
	return nil
}

func (p *pools) CreatePool(_ context.Context, r *bulkheadv1.CreatePoolRequest, _ ...grpc.CallOption) (*bulkheadv1.CreatePoolResponse, error) {
	if err := p.next(r.GetRequestId()); err != nil {
		return nil, err
	}
	return &bulkheadv1.CreatePoolResponse{Pool: &bulkheadv1.Pool{Name: r.GetName()}}, nil
}

func (p *pools) ClaimSandbox(_ context.Context, r *bulkheadv1.ClaimSandboxRequest, _ ...grpc.CallOption) (*bulkheadv1.ClaimSandboxResponse, error) {
	if err := p.next(r.GetRequestId()); err != nil {
		return nil, err
	}
	return &bulkheadv1.ClaimSandboxResponse{Sandbox: &bulkheadv1.Sandbox{Name: r.GetName()}, Warm: true}, nil
}

// TestPoolsAgain: a call whose answer was lost is made once more, as the same one.
func TestPoolsAgain(t *testing.T) {
	gone := status.Error(codes.Unavailable, "error reading from server: EOF")
	none, err := status.New(codes.Unavailable, "no member is ready").WithDetails(&errdetails.ErrorInfo{Reason: "NO_MEMBER"})
	if err != nil {
		t.Fatal(err)
	}
	claim := &bulkheadv1.ClaimSandboxRequest{Pool: "python", Name: "box"}
	create := &bulkheadv1.CreatePoolRequest{Name: "python"}
	for what, call := range map[string]func(*Client) bool{
		"claim": func(c *Client) bool {
			box, warm, err := c.Claim(t.Context(), claim)
			return err == nil && warm && box.GetName() == "box"
		},
		"create": func(c *Client) bool {
			pool, err := c.Pool(t.Context(), create)
			return err == nil && pool.GetName() == "python"
		},
	} {
		for _, tt := range []struct {
			name  string
			errs  []error
			calls int
			ok    bool
		}{
			{"at once", nil, 1, true},
			{"lost once", []error{gone}, 2, true},
			{"lost for good", []error{gone, gone}, 2, false},
			{"the node's own answer", []error{none.Err()}, 1, false},
		} {
			node := &pools{errs: tt.errs}
			if ok := call(&Client{Pools: node}); ok != tt.ok || len(node.ids) != tt.calls {
				t.Errorf("%s, %s: %v after %d calls", what, tt.name, ok, len(node.ids))
			}
			if id := node.ids[0]; id == "" || len(id) > 64 || id != node.ids[tt.calls-1] {
				t.Errorf("%s, %s: the request IDs %q", what, tt.name, node.ids)
			}
		}
	}
	if claim.GetRequestId() != "" || create.GetRequestId() != "" {
		t.Error("the caller's request was changed")
	}
	node := &pools{}
	if _, _, err := (&Client{Pools: node}).Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{RequestId: "mine"}); err != nil || node.ids[0] != "mine" {
		t.Errorf("%v, the request IDs %q", err, node.ids)
	}
}
