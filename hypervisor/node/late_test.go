package node_test

import (
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// slowStore takes its time to keep that a sandbox is being stopped.
type slowStore struct{ store.Store }

func (s slowStore) Put(r *storev1.Record, c store.Change) (uint64, error) {
	if r.GetSandbox().GetStatus().GetState() == bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING {
		time.Sleep(200 * time.Millisecond)
	}
	return s.Store.Put(r, c)
}

// TestNothingAfterTheEnd stops sandboxes that are starting. When the node hears that
// there is a worker, there may be none any more: that is no news then.
func TestNothingAfterTheEnd(t *testing.T) {
	f := open(t, func(c *node.Config) { c.Store = slowStore{c.Store} })
	f.create("bad", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordBadMachine}})
	for range 5 {
		go f.Node.Start(t.Context(), "bad")
		f.until("bad", starting)
		_, err := f.Stop(t.Context(), "bad", time.Second)
		f.must(err)
	}
	time.Sleep(100 * time.Millisecond) // for what comes late
	if r := f.recordOf("bad"); r.GetWorker() != nil || r.GetSandbox().GetStatus().GetState() != stopped {
		t.Errorf("kept of one that has stopped: %v", r)
	}
	events, err := f.config.Store.Events(0, 1000)
	f.must(err)
	for _, e := range events {
		if state := e.GetSandbox().GetStatus().GetState(); e.GetMessage() == "worker started" && state != starting {
			t.Errorf("event %d: worker started in %v", e.GetSandbox().GetResourceVersion(), state)
		}
	}
}
