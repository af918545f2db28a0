package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Pool returns that of a pool called name.
func Pool(name string, size uint32) *storev1.Pool {
	return &storev1.Pool{Pool: &bulkheadv1.Pool{Name: name, Size: size}}
}

func pools(t *testing.T, s store.Store) (all []string) {
	t.Helper()
	list, err := s.Pools()
	must(t, err)
	for _, p := range list {
		all = append(all, fmt.Sprint(p.GetPool().GetName(), p.GetPool().GetSize()))
	}
	slices.Sort(all)
	return all
}

func members(t *testing.T, s store.Store) (all []string) {
	t.Helper()
	list, err := s.Members()
	must(t, err)
	for _, r := range list {
		all = append(all, r.GetSandbox().GetName()+r.GetSandbox().GetStatus().GetKernelRelease())
	}
	slices.Sort(all)
	return all
}

func testPools(t *testing.T, s store.Store) {
	must(t, s.DeletePool("none"))
	must(t, s.PutPool(Pool("b", 2)))
	must(t, s.PutPool(Pool("a", 1)))
	must(t, s.PutPool(Pool("b", 3)))
	if got := pools(t, s); !slices.Equal(got, []string{"a1", "b3"}) {
		t.Errorf("pools %q", got)
	}
	must(t, s.DeletePool("a"))
	must(t, s.DeletePool("a"))
	if got := pools(t, s); !slices.Equal(got, []string{"b3"}) || s.Version() != 0 {
		t.Errorf("pools %q at version %d", got, s.Version())
	}
}

// testMembers: nobody hears of members, until one is claimed.
func testMembers(t *testing.T, s store.Store) {
	member := func(name, release string) *storev1.Record {
		r := Record(name)
		r.Sandbox.Status = &bulkheadv1.SandboxStatus{KernelRelease: release}
		return r
	}
	must(t, s.DeleteMember("+none"))
	must(t, s.PutMember(member("+a", "1"), true))
	must(t, s.PutMember(member("+b", strings.Repeat("x", 5000)), true))
	must(t, s.PutMember(member("+b", "2"), false))
	must(t, s.PutMember(member("+c", "3"), false))
	put(t, s, "box", "")
	if got := members(t, s); !slices.Equal(got, []string{"+a1", "+b2", "+c3"}) || s.Version() != 1 {
		t.Errorf("members %q at version %d", got, s.Version())
	}
	must(t, s.DeleteMember("+c"))
	claimed := Record("claimed")
	claimed.HostName = "+b"
	version, err := s.Claim(claimed, store.Change{Type: added, Message: "claimed"})
	must(t, err)
	if version != 2 || claimed.GetSandbox().GetResourceVersion() != 2 {
		t.Errorf("version %d, in the sandbox %d, want 2", version, claimed.GetSandbox().GetResourceVersion())
	}
	if got := members(t, s); !slices.Equal(got, []string{"+a1"}) {
		t.Errorf("members %q", got)
	}
	if got := names(t, s); !slices.Equal(got, []string{"box", "claimed"}) {
		t.Errorf("sandboxes %q", got)
	}
	if got := events(t, s, 1, 10); !slices.Equal(got, []string{"2 EVENT_TYPE_ADDED claimed"}) {
		t.Errorf("events %q", got)
	}
}
