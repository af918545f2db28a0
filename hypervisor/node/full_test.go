package node_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// fullStore is one whose disk can be full.
type fullStore struct {
	store.Store
	full atomic.Bool
	puts atomic.Int64
}

var errFull = errors.New("disk full")

func (s *fullStore) Put(r *storev1.Record, c store.Change) (uint64, error) {
	s.puts.Add(1)
	if s.full.Load() {
		return 0, errFull
	}
	return s.Store.Put(r, c)
}

// durable returns the state of the only sandbox as a node that came now would
// find it.
func (s *fullStore) durable(t *testing.T) bulkheadv1.SandboxState {
	t.Helper()
	records, err := s.Records()
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	return records[0].GetSandbox().GetStatus().GetState()
}

func openFull(t *testing.T) (*fixture, *fullStore) {
	s := &fullStore{Store: store.NewMemory()}
	return open(t, func(c *node.Config) { c.Store = s }), s
}

// TestTimeToLiveOnAFullDisk has a time to live end while nothing can be kept: it
// must be heeded, as what it removes may be what fills the disk.
func TestTimeToLiveOnAFullDisk(t *testing.T) {
	f, s := openFull(t)
	f.create("box", &bulkheadv1.SandboxSpec{Ttl: durationpb.New(100 * time.Millisecond)})
	s.full.Store(true)
	if _, err := f.Start(t.Context(), "box"); !errors.Is(err, errFull) {
		t.Errorf("started: %v", err)
	}
	before := s.puts.Load()
	for began := time.Now(); time.Since(began) < time.Second; time.Sleep(10 * time.Millisecond) {
		if box, err := f.Get("box"); err != nil || box.GetStatus().GetState() == deleting {
			break
		}
	}
	if box, err := f.Get("box"); err == nil && box.GetStatus().GetState() != deleting {
		t.Errorf("a sandbox whose time is over is %v", box.GetStatus())
	}
	time.Sleep(time.Second)
	if n := s.puts.Load() - before; n > 5 {
		t.Errorf("%d attempts in a second or two", n)
	}
	s.full.Store(false)
	f.untilGone("box")
}

// TestKeptAtLast has what couldn't be kept be kept later, however much there is to
// do meanwhile.
func TestKeptAtLast(t *testing.T) {
	f, s := openFull(t)
	f.start("box", nil)
	s.full.Store(true)
	_, err := f.Stop(t.Context(), "box", time.Second)
	f.must(err)
	if state := s.durable(t); state != running {
		t.Fatalf("kept on a full disk: %v", state)
	}
	s.full.Store(false)
	for began := time.Now(); s.durable(t) != stopped; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 15*time.Second {
			t.Fatal("never kept")
		}
		_, err := f.Pause(t.Context(), "box") // is refused, but something happens
		if err == nil {
			t.Fatal("paused what had stopped")
		}
	}
}
