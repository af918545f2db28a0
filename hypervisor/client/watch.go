package client

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// watchAgain is how long after a lost connection a watch is begun again.
const watchAgain = time.Second

// Watch calls do with each change, as WatchSandboxes has it, until ctx is done or
// do fails. It outlives restarts of the node: it goes on after the last change
// that do has seen. Where the node has forgotten what came next, do is first told
// of a BOOKMARK for which Forgotten holds, and then of all sandboxes there are, as
// ADDED: what it knows besides is gone.
func (c *Client) Watch(ctx context.Context, r *bulkheadv1.WatchSandboxesRequest, do func(*bulkheadv1.WatchSandboxesResponse) error) error {
	r = proto.CloneOf(r)
	for {
		var failed error // of do
		err := c.watch(ctx, r, func(m *bulkheadv1.WatchSandboxesResponse) error {
			failed = do(m)
			return failed
		})
		switch code := status.Code(err); {
		case failed != nil:
			return failed
		case code == codes.OutOfRange:
			r.ResourceVersion = nil
			if err := do(&bulkheadv1.WatchSandboxesResponse{Type: bulkheadv1.EventType_EVENT_TYPE_BOOKMARK}); err != nil {
				return err
			}
			continue
		case code != codes.Unavailable:
			return err
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch is one call.
func (c *Client) watch(ctx context.Context, r *bulkheadv1.WatchSandboxesRequest, do func(*bulkheadv1.WatchSandboxesResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.WatchSandboxes(ctx, r)
	if err != nil {
		return err
	}
	all := r.ResourceVersion != nil // or those there are are still being told
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := do(m); err != nil {
			return err
		}
		if all = all || m.GetType() == bulkheadv1.EventType_EVENT_TYPE_BOOKMARK; all {
			r.ResourceVersion = proto.Uint64(m.GetResourceVersion())
		}
	}
}

// Forgotten reports whether a message of Watch says that the node has forgotten
// changes.
func Forgotten(m *bulkheadv1.WatchSandboxesResponse) bool {
	return m.GetType() == bulkheadv1.EventType_EVENT_TYPE_BOOKMARK && m.GetTime() == nil
}
