package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// haltMembers has the workers of a pool's members do nothing, until goOn is called.
func (f *fixture) haltMembers(p *bulkheadv1.Pool) (goOn func()) {
	f.t.Helper()
	var pids []int
	for _, m := range f.membersOf(p) {
		pids = append(pids, int(m.GetWorker().GetPid()))
		f.halt(pids[len(pids)-1])
	}
	return func() {
		for _, pid := range pids {
			f.must(unix.Kill(pid, unix.SIGCONT))
		}
	}
}

// TestClaimFromSlowWorkers has all members take longer than a claim waits: it takes as
// long as for one of them, and they are ready again when they have answered.
func TestClaimFromSlowWorkers(t *testing.T) {
	f := open(t)
	p := f.pool("p", 8, f.template(nil))
	before := namesOf(f.membersOf(p))
	goOn := f.haltMembers(p)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := f.Claim(ctx, &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "given-up"}, "tester")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	began := time.Now()
	if _, warm := f.claim("p", "box"); warm { // which waits for the other one
		t.Error("warm")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
	if _, err := f.Get("given-up"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("begun, though nobody waits: %v", err)
	}
	if s := f.untilPool("p", "as it was", func(p *bulkheadv1.Pool) bool { return f.memberCount(p) == 8 }).GetStatus(); s.GetStarting() == 0 || s.GetReady()+s.GetStarting() != 8 {
		t.Errorf("status %v", s)
	}
	goOn()
	f.untilFull("p")
	for name := range namesOf(f.membersOf(p)) {
		if !before[name] {
			t.Errorf("%s is new", name)
		}
	}
	if _, warm := f.claim("p", "later"); !warm {
		t.Error("cold")
	}
}

// TestClaimBesideASilentMember takes the next one; the other is replaced, but not at once.
func TestClaimBesideASilentMember(t *testing.T) {
	f := open(t, func(c *node.Config) { c.Patience = 2 * time.Second })
	p := f.pool("p", 2, f.template(nil))
	oldest := f.membersOf(p)[0]
	if other := f.membersOf(p)[1]; other.GetSandbox().GetCreateTime().AsTime().Before(oldest.GetSandbox().GetCreateTime().AsTime()) {
		oldest = other
	}
	f.halt(int(oldest.GetWorker().GetPid()))
	if _, warm := f.claim("p", "box"); !warm {
		t.Error("cold")
	}
	name := oldest.GetSandbox().GetName()
	if m := memberCalled(f.membersOf(p), name); m.GetSandbox().GetStatus().GetState() != paused {
		t.Errorf("at its first silence %s is %v", name, m)
	}
	f.untilFull("p")
	if memberCalled(f.membersOf(p), name) != nil {
		t.Errorf("%s is ready", name)
	}
}

// TestSetAsideEnds has a member that is asked again end, be too many, and outlive the node.
func TestSetAsideEnds(t *testing.T) {
	f := open(t)
	p := f.pool("p", 1, f.template(nil))
	silent := func(name string) (pid int, goOn func()) {
		f.untilFull("p")
		pid = int(f.membersOf(p)[0].GetWorker().GetPid())
		goOn = f.haltMembers(p)
		if _, warm := f.claim("p", name); warm {
			t.Error("warm")
		}
		return pid, goOn
	}
	pid, _ := silent("ends")
	f.must(unix.Kill(pid, unix.SIGKILL))
	f.untilFull("p")
	if now := f.membersOf(p)[0].GetWorker().GetPid(); int(now) == pid {
		t.Error("it is there still")
	}
	pid, goOn := silent("found")
	f.restart(nil)
	goOn()
	f.untilFull("p")
	if now := f.membersOf(p)[0].GetWorker().GetPid(); int(now) != pid {
		t.Errorf("worker %d, was %d", now, pid)
	}
	silent("too-many")
	f.update("p", 0)
}
