package node_test

import (
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// busyStore is one in which things happen right after somebody asked how far it
// is.
type busyStore struct {
	store.Store
	mu   sync.Mutex
	then func() // once
}

func (s *busyStore) Version() uint64 {
	version := s.Store.Version()
	s.mu.Lock()
	then := s.then
	s.then = nil
	s.mu.Unlock()
	if then != nil {
		then()
	}
	return version
}

// TestWatchDoesNotGoBack begins to watch while sandboxes change: what was told of
// them at first isn't followed by what was before.
func TestWatchDoesNotGoBack(t *testing.T) {
	s := &busyStore{Store: store.NewMemory()}
	f := open(t, func(c *node.Config) { c.Store = s })
	f.create("a", nil)
	f.create("b", nil)
	s.mu.Lock()
	s.then = func() {
		f.Start(t.Context(), "a")
		f.Stop(t.Context(), "a", 0)
		f.create("c", nil)
	}
	s.mu.Unlock()
	next, stop := f.watch(&bulkheadv1.WatchSandboxesRequest{})
	defer stop()
	for _, name := range []string{"a", "b", "c"} {
		if e := next(); e.GetType() != bulkheadv1.EventType_EVENT_TYPE_ADDED || e.GetSandbox().GetName() != name {
			t.Errorf("first: %v, want %s", e, name)
		}
	}
	if e := next(); e.GetType() != bulkheadv1.EventType_EVENT_TYPE_BOOKMARK {
		t.Errorf("told once more: %v", e)
	}
	f.must(f.Delete(t.Context(), "a", "", false))
	if e := next(); e.GetSandbox().GetName() != "a" || e.GetSandbox().GetStatus().GetState() != deleting {
		t.Errorf("what comes then: %v", e)
	}
}
