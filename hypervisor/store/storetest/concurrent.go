package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
)

// testConcurrent has many change the store at once, and a reader follow them: each
// change has a number of its own, none is missing, and none is forgotten.
func testConcurrent(t *testing.T, s store.Store) {
	const writers, each = 8, 500
	var all sync.WaitGroup
	var mu sync.Mutex
	given := map[uint64]int{}
	for w := range writers {
		all.Go(func() {
			for range each {
				version, err := s.Put(Record(fmt.Sprint(w)), store.Change{Type: modified})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				given[version]++
				mu.Unlock()
			}
		})
	}
	follow(t, s, writers*each)
	all.Wait()
	if len(given) != writers*each || s.Version() != writers*each {
		t.Errorf("%d versions were given to %d changes, the last is %d", len(given), writers*each, s.Version())
	}
}

// follow reads changes as a watcher does, until it has seen so many.
func follow(t *testing.T, s store.Store, many uint64) {
	for at := uint64(0); at < many; {
		changed := s.Changed()
		list, err := s.Events(at, 64)
		if err != nil {
			t.Errorf("after %d: %v", at, err)
			return
		}
		for _, e := range list {
			if at++; e.GetSandbox().GetResourceVersion() != at {
				t.Errorf("change %d comes as %d", e.GetSandbox().GetResourceVersion(), at)
				return
			}
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Errorf("nobody says that there is a change after %d", at)
			return
		}
	}
}
