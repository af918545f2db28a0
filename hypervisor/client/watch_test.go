package client

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// forgetful is a node that remembers no changes, and has one sandbox.
type forgetful struct{ bulkheadv1.SandboxesClient }

func (forgetful) WatchSandboxes(_ context.Context, r *bulkheadv1.WatchSandboxesRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[bulkheadv1.WatchSandboxesResponse], error) {
	if r.ResourceVersion != nil {
		return nil, status.Error(codes.OutOfRange, "forgotten")
	}
	return &watchStream{messages: []*bulkheadv1.WatchSandboxesResponse{{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED}}}, nil
}

type watchStream struct {
	grpc.ClientStream
	messages []*bulkheadv1.WatchSandboxesResponse
}

func (s *watchStream) Recv() (*bulkheadv1.WatchSandboxesResponse, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

// TestWatchForgotten: a watcher hears that it has missed something before it hears
// what there is.
func TestWatchForgotten(t *testing.T) {
	var heard []bool
	err := (&Client{SandboxesClient: forgetful{}}).Watch(t.Context(), &bulkheadv1.WatchSandboxesRequest{ResourceVersion: proto.Uint64(7)},
		func(m *bulkheadv1.WatchSandboxesResponse) error {
			heard = append(heard, Forgotten(m))
			return nil
		})
	if !errors.Is(err, io.EOF) || len(heard) != 2 || !heard[0] || heard[1] {
		t.Errorf("%v, %v", heard, err)
	}
}
