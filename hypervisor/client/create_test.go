package client

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// creations is a node that answers with errors first.
type creations struct {
	bulkheadv1.SandboxesClient
	errs []error
	got  []*bulkheadv1.CreateSandboxRequest
}

func (c *creations) CreateSandbox(_ context.Context, r *bulkheadv1.CreateSandboxRequest, _ ...grpc.CallOption) (*bulkheadv1.CreateSandboxResponse, error) {
	c.got = append(c.got, r)
	if n := len(c.got); n <= len(c.errs) {
		return nil, c.errs[n-1]
	}
	return &bulkheadv1.CreateSandboxResponse{Sandbox: &bulkheadv1.Sandbox{Name: "box"}}, nil
}

func TestCreateAgain(t *testing.T) {
	gone := status.Error(codes.Unavailable, "error reading from server: EOF")
	draining, err := status.New(codes.Unavailable, "drained").WithDetails(&errdetails.ErrorInfo{Reason: "NODE_DRAINING"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		errs  []error
		calls int
		ok    bool
	}{
		{"at once", nil, 1, true},
		{"lost once", []error{gone}, 2, true},
		{"lost for good", []error{gone, gone}, 2, false},
		{"the node's own answer", []error{draining.Err()}, 1, false},
	}
	for _, tt := range tests {
		node, r := &creations{errs: tt.errs}, &bulkheadv1.CreateSandboxRequest{}
		box, err := (&Client{SandboxesClient: node}).Create(t.Context(), r)
		if (err == nil) != tt.ok || tt.ok && box.GetName() != "box" || len(node.got) != tt.calls {
			t.Errorf("%s: %v, %v after %d calls", tt.name, box, err, len(node.got))
		}
		if id := node.got[0].GetRequestId(); id == "" || len(id) > 64 || id != node.got[tt.calls-1].GetRequestId() {
			t.Errorf("%s: the request IDs of %v", tt.name, node.got)
		}
		if r.GetRequestId() != "" {
			t.Errorf("%s: the caller's request was changed", tt.name)
		}
	}
}

// TestCreateNamed: the name is enough to repeat the call.
func TestCreateNamed(t *testing.T) {
	node := &creations{}
	if _, err := (&Client{SandboxesClient: node}).Create(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box"}); err != nil || node.got[0].GetRequestId() != "" {
		t.Errorf("%v, %v", node.got, err)
	}
}
