package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// exitTime is how long the news of a sandbox's end may be on its way.
const exitTime = 10 * time.Second

// watch looks after how a sandbox ends, also when it is gone then.
type watch struct {
	stop  context.CancelFunc
	ended chan *bulkheadv1.SandboxExit
}

// startWatch begins with the changes after a version.
func startWatch(c *client.Client, sandbox string, version uint64) *watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &watch{stop: stop, ended: make(chan *bulkheadv1.SandboxExit, 1)}
	request := &bulkheadv1.WatchSandboxesRequest{Name: sandbox, ResourceVersion: proto.Uint64(version)}
	go c.Watch(ctx, request, func(m *bulkheadv1.WatchSandboxesResponse) error {
		switch s := m.GetSandbox().GetStatus(); s.GetState() {
		case bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED, bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF, bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
			select {
			case w.ended <- s.GetExit():
			default: // it is known
			}
		}
		return nil
	})
	return w
}

// exit returns how the sandbox ended. It waits a while for that; nil if it isn't
// known.
func (w *watch) exit() *bulkheadv1.SandboxExit {
	select {
	case e := <-w.ended:
		return e
	case <-time.After(exitTime):
		return nil
	}
}
