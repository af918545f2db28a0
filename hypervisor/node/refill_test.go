package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// namesOf returns those of members.
func namesOf(members []*storev1.Record) map[string]bool {
	all := map[string]bool{}
	for _, m := range members {
		all[m.GetSandbox().GetName()] = true
	}
	return all
}

// TestMemberReplaced has members end: their worker killed, their guest gone.
func TestMemberReplaced(t *testing.T) {
	f := open(t)
	p := f.pool("p", 3, f.template(nil))
	before := f.membersOf(p)
	worker, err := os.FindProcess(int(before[0].GetWorker().GetPid()))
	f.must(err)
	f.must(worker.Kill())
	replaced := func() bool {
		return memberCalled(f.membersOf(p), before[0].GetSandbox().GetName()) == nil && f.memberCount(p) == 3
	}
	f.untilPool("p", "mended", func(*bulkheadv1.Pool) bool { return replaced() })
	f.untilFull("p")
	after := namesOf(f.membersOf(p))
	for _, m := range before[1:] {
		if name := m.GetSandbox().GetName(); !after[name] {
			t.Errorf("%s has gone, too", name)
		}
	}
	if got := len(f.workers()); got != 3 {
		t.Errorf("%d workers", got)
	}
}

func TestUpdatePool(t *testing.T) {
	f := open(t)
	first, second := f.template(nil), f.template(&bulkheadv1.SandboxSpec{Cpus: 2})
	p := f.pool("p", 4, first)
	oldest := namesOf(f.membersOf(p))
	p = f.update("p", 2)
	for name := range namesOf(f.membersOf(p)) {
		if !oldest[name] {
			t.Errorf("%s is new", name)
		}
	}
	f.update("p", 5)
	f.update("p", 0)
	if left := f.workers(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	f.update("p", 2)
	_, err := f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Template: second.GetId()[:len("sha256:")+12]}, "tester")
	f.must(err)
	box, _ := f.claim("p", "at-once") // never of the template before
	if box.GetSpec().GetCpus() != 2 || f.recordOf("at-once").GetTemplate() != second.GetId() {
		t.Errorf("%v", box)
	}
	p = f.untilFull("p")
	if p.GetTemplate() != second.GetId() || p.GetSize() != 2 {
		t.Errorf("pool %v", p)
	}
	for _, m := range f.membersOf(p) {
		if m.GetTemplate() != second.GetId() || m.GetSandbox().GetSpec().GetCpus() != 2 {
			t.Errorf("member %v", m)
		}
	}
	if box, warm := f.claim("p", "box"); !warm || box.GetSpec().GetCpus() != 2 {
		t.Errorf("warm: %v, %v", warm, box)
	}
	_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Template: strings.Repeat("0", 12)}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoTemplate)
	f.restart(nil)
	if p := f.untilFull("p"); p.GetTemplate() != second.GetId() || p.GetSize() != 2 {
		t.Errorf("pool %v", p)
	}
	_, err = f.DeleteTemplate(first.GetId())
	f.must(err)
}

// TestPoolOutlivesTheNode closes the node at any time while a pool is filled, and at
// other times: members are found again, and not made twice.
func TestPoolOutlivesTheNode(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 4}, "tester")
	f.must(err)
	for i := range 12 {
		time.Sleep(time.Duration(7*i) * time.Millisecond)
		f.restart(nil)
	}
	p := f.untilFull("p")
	before := namesOf(f.membersOf(p))
	f.restart(func() {
		if got := len(f.workers()); got != 4 {
			t.Errorf("%d workers of 4 members", got)
		}
	})
	p = f.untilFull("p")
	for name := range namesOf(f.membersOf(p)) {
		if !before[name] {
			t.Errorf("%s is new", name)
		}
	}
	if got := len(f.workers()); got != 4 {
		t.Errorf("%d workers of 4 members", got)
	}
	if _, warm := f.claim("p", "box"); !warm {
		t.Error("what was found again can't be claimed")
	}
}

// TestNodeEndsWhileDeletingPool has the next one remove the members.
func TestNodeEndsWhileDeletingPool(t *testing.T) {
	f := open(t)
	p := f.pool("p", 3, f.template(nil))
	f.must(f.Close())
	f.must(f.config.Store.DeletePool("p"))
	f.reopen()
	for began := time.Now(); f.memberCount(p)+len(f.workers()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("left: %v, %q", f.membersOf(p), f.workers())
		}
	}
	if _, given, _, _ := f.Share(); given.GetCpus() != 0 {
		t.Errorf("%v are given to nobody", given)
	}
}

// TestDeletePoolWhileItFills deletes it at any time.
func TestDeletePoolWhileItFills(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	for i := range 8 {
		p, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 3}, "tester")
		f.must(err)
		time.Sleep(time.Duration(15*i) * time.Millisecond)
		f.must(f.DeletePool(t.Context(), "p", ""))
		if left := f.workers(); len(left)+f.memberCount(p) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func TestDrainPools(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	p := f.pool("p", 3, made)
	f.claim("p", "box")
	f.must(second(f.Drain(t.Context(), true, time.Second)))
	if left := f.workers(); len(left) > 0 || f.memberCount(p) > 0 {
		t.Errorf("left: %q, %d members", left, f.memberCount(p))
	}
	_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p"}, "tester")
	f.kindIs(err, fault.Unavailable, fault.ReasonDraining)
	f.restart(nil)
	p = f.untilPool("p", "at rest", func(p *bulkheadv1.Pool) bool { return strings.Contains(p.GetStatus().GetProblem(), "drained") })
	if p.GetStatus().GetReady()+p.GetStatus().GetStarting() > 0 {
		t.Errorf("%v", p)
	}
	f.must(f.Undrain())
	f.untilFull("p")
}

// ofCPUs has a node have so many CPUs, and more memory than it needs.
func ofCPUs(n float64) node.Limits {
	return node.Limits{Capacity: &capacity.Policy{Overcommit: capacity.Overcommit{CPUs: n / cpusOfHost(), Memory: 1000}}}
}

func cpusOfHost() float64 {
	host, err := capacity.Host()
	if err != nil {
		panic(err)
	}
	return host.CPUs
}

// TestRoomForPools: members take only what is free, and give way.
func TestRoomForPools(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.must(f.SetLimits(ofCPUs(4)))
	f.create("a", nil)
	_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 5}, "tester")
	f.must(err)
	noRoom := func(ready uint32) *bulkheadv1.Pool {
		t.Helper()
		return f.untilPool("p", "short of room", func(p *bulkheadv1.Pool) bool {
			return p.GetStatus().GetReady() == ready && p.GetStatus().GetStarting() == 0 && f.memberCount(p) == int(ready) && strings.Contains(p.GetStatus().GetProblem(), "no room")
		})
	}
	p := noRoom(3)
	before := f.membersOf(p)
	newest := before[0]
	for _, m := range before {
		if m.GetSandbox().GetCreateTime().AsTime().After(newest.GetSandbox().GetCreateTime().AsTime()) {
			newest = m
		}
	}
	f.create("b", nil) // a member gives way
	noRoom(2)
	f.until("b", created)
	if memberCalled(f.membersOf(p), newest.GetSandbox().GetName()) != nil {
		t.Errorf("%v has given way, and not the newest", f.membersOf(p))
	}
	_, given, _, err := f.Share()
	f.must(err)
	if given.GetCpus() != 4 {
		t.Errorf("%v of 4 CPUs are given", given)
	}
	// None goes for what can't be all the same.
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "large", Spec: &bulkheadv1.SandboxSpec{Cpus: 3}}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoRoom)
	if got := noRoom(2); got.GetStatus().GetReady() != 2 {
		t.Errorf("%v", got)
	}
	// All go for what can.
	f.create("two", &bulkheadv1.SandboxSpec{Cpus: 2})
	noRoom(0)
	f.must(f.Delete(t.Context(), "two", "", true)) // there is room again, and nobody waits for the time to try
	noRoom(2)
	f.must(f.SetLimits(ofCPUs(10)))
	f.untilFull("p")
	// One that has stopped takes its share back in the same way.
	_, err = f.Node.Start(t.Context(), "a")
	f.must(err)
	_, err = f.Stop(t.Context(), "a", 0)
	f.must(err)
	f.must(f.SetLimits(ofCPUs(6)))
	_, err = f.Node.Start(t.Context(), "a")
	f.must(err)
	noRoom(4)
	f.must(f.Delete(t.Context(), "a", "", true))
	f.untilFull("p")
}

// TestRoomOfThoseThatGo has a node whose room is all that of members which have been told
// to go, and take their time.
func TestRoomOfThoseThatGo(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.must(f.SetLimits(ofCPUs(2)))
	p := f.pool("p", 2, made)
	for _, m := range f.membersOf(p) {
		f.freeze(supervise.Identity{PID: int(m.GetWorker().GetPid()), StartTicks: m.GetWorker().GetStartTicks(), BootID: m.GetWorker().GetBootId()})
	}
	_, err := f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(0)}, "tester")
	f.must(err)
	f.untilPool("p", "empty", func(p *bulkheadv1.Pool) bool { return p.GetStatus().GetReady() == 0 })
	f.create("box", &bulkheadv1.SandboxSpec{Cpus: 2})
	if n := len(f.workers()); n != 2 {
		t.Errorf("%d workers: the members have not taken their time", n)
	}
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "another"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoRoom)
	_, given, _, err := f.Share()
	f.must(err)
	if given.GetCpus() != 2 {
		t.Errorf("%v of 2 CPUs are given", given)
	}
}

// TestPoolWithoutItsTemplate has somebody else remove it, and a member fail for that.
func TestPoolWithoutItsTemplate(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.pool("p", 1, made)
	away := filepath.Join(f.config.StateDir, "away")
	f.must(os.Rename(f.templateDir(made), away))
	_, err := f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(2)}, "tester")
	f.must(err)
	f.untilPool("p", "in trouble", func(p *bulkheadv1.Pool) bool {
		return strings.Contains(p.GetStatus().GetProblem(), "there is no template") && p.GetStatus().GetReady() == 1
	})
	f.must(os.Rename(away, f.templateDir(made)))
	f.untilFull("p") // by itself
	// A file that went into it changes: members can't come up.
	f.must(os.WriteFile(filepath.Join(f.config.GuestDir, "vmlinux"), []byte("another"), 0o600))
	_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(3)}, "tester")
	f.must(err)
	f.untilPool("p", "in trouble", func(p *bulkheadv1.Pool) bool {
		return strings.Contains(p.GetStatus().GetProblem(), "vmlinux has changed") && p.GetStatus().GetReady() == 2
	})
	if got := len(f.workers()); got != 2 {
		t.Errorf("%d workers", got)
	}
}

// fullPools is a store that has no room for what pools do.
type fullPools struct {
	store.Store
	claims, members atomic.Bool
}

func (s *fullPools) Claim(r *storev1.Record, c store.Change) (uint64, error) {
	if s.claims.Load() {
		return 0, store.ErrFull
	}
	return s.Store.Claim(r, c)
}

func (s *fullPools) PutMember(r *storev1.Record, optional bool) error {
	if s.members.Load() {
		return store.ErrFull
	}
	return s.Store.PutMember(r, optional)
}

// TestClaimOnAFullDisk fails, and the member is one still.
func TestClaimOnAFullDisk(t *testing.T) {
	s := &fullPools{Store: store.NewMemory()}
	f := open(t, func(c *node.Config) { c.Store = s })
	p := f.pool("p", 2, f.template(nil))
	before := namesOf(f.membersOf(p))
	s.claims.Store(true)
	for range 3 {
		_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "box"}, "tester")
		f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
		if _, err := f.Get("box"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a sandbox that isn't kept: %v", err)
		}
		p = f.untilFull("p")
	}
	for name := range namesOf(f.membersOf(p)) {
		if !before[name] {
			t.Errorf("%s is new", name)
		}
	}
	s.claims.Store(false)
	if _, warm := f.claim("p", "box"); !warm {
		t.Error("cold")
	}
	f.untilFull("p")
	s.members.Store(true)
	f.claim("p", "other")
	f.untilPool("p", "short of room", func(p *bulkheadv1.Pool) bool {
		return strings.Contains(p.GetStatus().GetProblem(), store.ErrFull.Error())
	})
	s.members.Store(false)
	f.untilFull("p")
	if _, given, _, _ := f.Share(); given.GetCpus() != 4 {
		t.Errorf("%v are given to two sandboxes and two members", given)
	}
}

// TestClaimGivenUp goes on, once it has begun.
func TestClaimGivenUp(t *testing.T) {
	f := open(t)
	f.pool("p", 1, f.template(nil))
	for _, name := range []string{"warm", "cold"} {
		ctx, cancel := context.WithCancel(t.Context())
		answer := f.beginClaim(ctx, &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name})
		cancel()
		if err := <-answer; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f.until(name, running)
		_, _, err := f.Claim(ctx, &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name + "-late"}, "tester")
		if _, there := f.Get(name + "-late"); !errors.Is(err, context.Canceled) || fault.KindOf(there) != fault.NotFound {
			t.Errorf("begun, though nobody waits: %v, %v", err, there)
		}
	}
}
