package node_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// lastStore keeps that there is a sandbox, and then has no room for more that needn't be;
// or it is the last that its node hears of it.
type lastStore struct {
	store.Store
	full, cut atomic.Bool
}

var errCut = errors.New("nobody hears this")

func (s *lastStore) Put(r *storev1.Record, c store.Change) (uint64, error) {
	added := c.Type == bulkheadv1.EventType_EVENT_TYPE_ADDED
	if s.full.Load() && c.Optional && !added {
		return 0, store.ErrFull
	}
	version, err := s.Store.Put(r, c)
	if s.cut.Load() && added {
		return 0, errCut
	}
	return version, err
}

// TestClaimColdEndsEarly: nothing has a share of the node that nobody knows of.
func TestClaimColdEndsEarly(t *testing.T) {
	s := &lastStore{Store: store.NewMemory()}
	f := open(t, func(c *node.Config) { c.Store = s })
	f.pool("p", 0, f.template(nil))
	r := &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "full"}
	s.full.Store(true)
	_, _, err := f.Claim(t.Context(), r, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	s.full.Store(false)
	if box, err := f.Get("full"); err != nil || box.GetStatus().GetState() != stopped {
		t.Errorf("%v, %v", box, err)
	}
	if _, given, _, _ := f.Share(); given.GetCpus() != 0 {
		t.Errorf("%v are given to what has stopped", given)
	}
	// A node that is killed is followed by one that goes on.
	s.cut.Store(true)
	_, _, err = f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "cut"}, "tester")
	if !errors.Is(err, errCut) {
		t.Errorf("cut: %v", err)
	}
	s.cut.Store(false)
	f.restart(nil)
	f.until("cut", running)
	if box, warm := f.claim("p", "cut"); warm || box.GetStatus().GetState() != running {
		t.Errorf("warm: %v, %v", warm, box)
	}
}
