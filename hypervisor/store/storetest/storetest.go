// Package storetest is what every store must do.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

const (
	added    = bulkheadv1.EventType_EVENT_TYPE_ADDED
	modified = bulkheadv1.EventType_EVENT_TYPE_MODIFIED
)

// Record returns that of a sandbox called name.
func Record(name string) *storev1.Record {
	return &storev1.Record{Sandbox: &bulkheadv1.Sandbox{Name: name}}
}

// Test checks a store. open returns an empty one, which the test closes.
func Test(t *testing.T, open func(t *testing.T) store.Store) {
	for name, test := range map[string]func(*testing.T, store.Store){
		"records": testRecords, "events": testEvents, "forgets": testForgets, "changed": testChanged, "draining": testDraining,
		"sizes": testSizes, "pools": testPools, "members": testMembers, "concurrent": testConcurrent, "large": testLarge,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() { must(t, s.Close()) }()
			test(t, s)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, name, message string) uint64 {
	t.Helper()
	version, err := s.Put(Record(name), store.Change{Type: modified, Message: message})
	must(t, err)
	return version
}

func names(t *testing.T, s store.Store) (all []string) {
	t.Helper()
	records, err := s.Records()
	must(t, err)
	for _, r := range records {
		all = append(all, r.GetSandbox().GetName())
	}
	slices.Sort(all)
	return all
}

func testRecords(t *testing.T, s store.Store) {
	if n := names(t, s); len(n) != 0 || s.Version() != 0 {
		t.Errorf("a new store has %v at version %d", n, s.Version())
	}
	put(t, s, "a", "")
	put(t, s, "b", "")
	r := Record("a")
	r.RequestId = "again"
	version, err := s.Put(r, store.Change{Type: modified})
	must(t, err)
	if version != 3 || r.GetSandbox().GetResourceVersion() != 3 || s.Version() != 3 {
		t.Errorf("version %d, in the sandbox %d, of the store %d; want 3", version, r.GetSandbox().GetResourceVersion(), s.Version())
	}
	if n := names(t, s); !slices.Equal(n, []string{"a", "b"}) {
		t.Errorf("sandboxes are %v", n)
	}
	_, err = s.Delete(Record("b"), "gone")
	must(t, err)
	records, err := s.Records()
	must(t, err)
	if len(records) != 1 || records[0].GetRequestId() != "again" || records[0].GetSandbox().GetResourceVersion() != 3 {
		t.Errorf("left: %v", records)
	}
}

// testSizes keeps what is large, and replaces it by what is less, and more.
func testSizes(t *testing.T, s store.Store) {
	put(t, s, "before", "")
	put(t, s, "large2", "")
	for _, size := range []int{0, 1, 900, 1000, 100_000, 1001, 10} {
		r := Record("large")
		r.RequestId = strings.Repeat("x", size)
		message := strings.Repeat("m", size)
		version, err := s.Put(r, store.Change{Type: modified, Message: message})
		must(t, err)
		records, err := s.Records()
		must(t, err)
		if n := names(t, s); !slices.Equal(n, []string{"before", "large", "large2"}) {
			t.Fatalf("sandboxes are %v", n)
		}
		for _, r := range records {
			if r.GetSandbox().GetName() == "large" && r.GetRequestId() != strings.Repeat("x", size) {
				t.Errorf("%d bytes have become %d", size, len(r.GetRequestId()))
			}
		}
		if list, err := s.Events(version-1, 10); err != nil || len(list) != 1 || list[0].GetMessage() != message {
			t.Errorf("%d bytes: the change is %v, %v", size, list, err)
		}
	}
	_, err := s.Delete(Record("large"), "")
	must(t, err)
	if n := names(t, s); !slices.Equal(n, []string{"before", "large2"}) {
		t.Errorf("sandboxes are %v", n)
	}
}

func testEvents(t *testing.T, s store.Store) {
	_, err := s.Put(Record("a"), store.Change{Type: added, Message: "made"})
	must(t, err)
	put(t, s, "a", "started")
	_, err = s.Delete(Record("a"), "removed")
	must(t, err)
	want := []string{"1 EVENT_TYPE_ADDED made", "2 EVENT_TYPE_MODIFIED started", "3 EVENT_TYPE_DELETED removed"}
	for after := range 4 {
		if got := events(t, s, uint64(after), 100); !slices.Equal(got, want[after:]) {
			t.Errorf("after %d: %q, want %q", after, got, want[after:])
		}
	}
	if got := events(t, s, 0, 2); !slices.Equal(got, want[:2]) {
		t.Errorf("the first two: %q", got)
	}
	if _, err := s.Events(4, 1); !errors.Is(err, store.ErrForgotten) {
		t.Errorf("of the future: %v", err)
	}
}

func events(t *testing.T, s store.Store, after uint64, limit int) (all []string) {
	t.Helper()
	list, err := s.Events(after, limit)
	must(t, err)
	for _, e := range list {
		if time.Since(e.GetTime().AsTime()) > time.Hour {
			t.Errorf("an event of %v", e.GetTime().AsTime())
		}
		all = append(all, fmt.Sprint(e.GetSandbox().GetResourceVersion(), e.GetType(), " ", e.GetMessage()))
	}
	return all
}

func testForgets(t *testing.T, s store.Store) {
	if testing.Short() {
		t.Skip("NOT TESTED: a store on disk takes a while")
	}
	for range 2*store.MaxEvents + 10 {
		put(t, s, "a", "")
	}
	if _, err := s.Events(5, 1); !errors.Is(err, store.ErrForgotten) {
		t.Errorf("of long ago: %v", err)
	}
	if got := events(t, s, s.Version()-store.MaxEvents, 1); len(got) != 1 {
		t.Errorf("the oldest that is remembered: %v", got)
	}
}

func testChanged(t *testing.T, s store.Store) {
	changed := s.Changed()
	select {
	case <-changed:
		t.Fatal("changed before a change")
	default:
	}
	put(t, s, "a", "")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody said that there was a change")
	}
	if len(events(t, s, 0, 10)) != 1 {
		t.Error("the change can't be seen")
	}
}

func testDraining(t *testing.T, s store.Store) {
	if got, err := s.Draining(); err != nil || got {
		t.Errorf("a new node is draining: %v, %v", got, err)
	}
	for _, want := range []bool{true, true, false, false} {
		must(t, s.SetDraining(want))
		if got, err := s.Draining(); err != nil || got != want {
			t.Errorf("draining %v, %v; want %v", got, err, want)
		}
	}
}
