package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// pool makes a pool of a template, and waits until it has its members.
func (f *fixture) pool(name string, size uint32, template *bulkheadv1.Template) *bulkheadv1.Pool {
	f.t.Helper()
	_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: name, Template: template.GetId(), Size: size}, "tester")
	f.must(err)
	return f.untilFull(name)
}

// untilPool waits for what is to be of a pool.
func (f *fixture) untilPool(name, what string, is func(*bulkheadv1.Pool) bool) *bulkheadv1.Pool {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		p, err := f.GetPool(name)
		f.must(err)
		if is(p) {
			return p
		}
		if time.Since(began) > time.Minute {
			f.t.Fatalf("pool %s isn't %s: %v", name, what, p)
		}
	}
}

// untilFull waits until a pool has its members.
func (f *fixture) untilFull(name string) *bulkheadv1.Pool {
	f.t.Helper()
	return f.untilPool(name, "full", func(p *bulkheadv1.Pool) bool {
		s := p.GetStatus()
		return s.GetReady() == p.GetSize() && s.GetStarting() == 0 && s.GetProblem() == "" && f.memberCount(p) == int(p.GetSize())
	})
}

// kept returns the members that are kept of a pool.
func (f *fixture) membersOf(p *bulkheadv1.Pool) (all []*storev1.Record) {
	f.t.Helper()
	members, err := f.config.Store.Members()
	f.must(err)
	for _, m := range members {
		if m.GetPool() == p.GetUid() {
			all = append(all, m)
		}
	}
	return all
}

func (f *fixture) memberCount(p *bulkheadv1.Pool) int { return len(f.membersOf(p)) }

// workers returns the names of the bundles there are.
func (f *fixture) workers() (all []string) {
	f.t.Helper()
	paths, err := filepath.Glob(filepath.Join(f.config.RuntimeDir, "*", "worker.sock"))
	f.must(err)
	for _, path := range paths {
		all = append(all, filepath.Base(filepath.Dir(path)))
	}
	return all
}

func TestPool(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	p := f.pool("warm", 3, made)
	if p.GetUid() == "" || p.GetClient() != "tester" || p.GetTemplate() != made.GetId() || p.GetCreateTime() == nil {
		t.Errorf("pool %v", p)
	}
	before := f.config.Store.Version()
	if got := f.names(); got != "" {
		t.Errorf("members are seen as sandboxes: %s", got)
	}
	for _, m := range f.membersOf(p) {
		name := m.GetSandbox().GetName()
		if s := m.GetSandbox(); s.GetStatus().GetState() != paused || s.GetSpec().GetTemplate() != made.GetId() || s.GetSpec().GetCommand() != nil || name[0] != '+' {
			t.Errorf("member %v", m)
		}
		renewed, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, name, "guest", "renewed.json"))
		if err != nil || !strings.Contains(string(renewed), `"hostname":"`+name[1:]+`"`) {
			t.Errorf("renewed as %s, %v", renewed, err)
		}
		for what, err := range map[string]error{
			"get":    second(f.Get(name)),
			"start":  second(f.Node.Start(t.Context(), name)),
			"delete": f.Delete(t.Context(), name, "", true),
			"save":   second(f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "x" + name[1:]}, "tester")),
		} {
			if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s of a member: %v", what, err)
			}
		}
	}
	if info, err := f.Info(); err != nil || info.GetSandboxes() != 0 || info.GetAllocated().GetCpus() != 3 {
		t.Errorf("%v, %v", info, err)
	}
	if after := f.config.Store.Version(); after != before {
		t.Errorf("watchers hear of members: version %d, was %d", after, before)
	}
	_, err := f.DeleteTemplate(made.GetId())
	f.kindIs(err, fault.Precondition, fault.ReasonTemplateInUse)
	if err == nil || !strings.Contains(err.Error(), `"warm"`) {
		t.Errorf("not which pool: %v", err)
	}
	f.must(f.DeletePool(t.Context(), "warm", p.GetUid()))
	if left := f.workers(); len(left) > 0 || f.memberCount(p) > 0 {
		t.Errorf("left: %q, and %d members", left, f.memberCount(p))
	}
	_, err = f.DeleteTemplate(made.GetId())
	f.must(err)
}

func second[T any](_ T, err error) error { return err }

func TestPoolAgain(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	request := func() *bulkheadv1.CreatePoolRequest {
		return &bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), RequestId: "r", Labels: map[string]string{"a": "b"}}
	}
	first, err := f.CreatePool(request(), "tester")
	f.must(err)
	for i := range 2 {
		r := request()
		r.Template = r.GetTemplate()[:len("sha256:")+12]
		again, err := f.CreatePool(r, "tester")
		f.must(err)
		if again.GetUid() != first.GetUid() {
			t.Errorf("%v and then %v", first, again)
		}
		if i == 0 {
			f.restart(nil)
		}
	}
	for _, c := range []struct {
		change func(*bulkheadv1.CreatePoolRequest)
		reason string
	}{
		{func(r *bulkheadv1.CreatePoolRequest) { r.Size = 1 }, fault.ReasonNameTaken},
		{func(r *bulkheadv1.CreatePoolRequest) { r.Labels = nil }, fault.ReasonNameTaken},
		{func(r *bulkheadv1.CreatePoolRequest) { r.RequestId = "other" }, fault.ReasonNameTaken},
		{func(r *bulkheadv1.CreatePoolRequest) { r.Name = "q" }, fault.ReasonRequestIDUsed},
	} {
		r := request()
		c.change(r)
		_, err := f.CreatePool(r, "tester")
		f.kindIs(err, fault.Exists, c.reason)
	}
	_, err = f.CreatePool(request(), "other")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
}

func TestPoolRefused(t *testing.T) {
	f := open(t, func(c *node.Config) { c.PoolMembers = 5 })
	made := f.template(nil)
	tapped := f.template(&bulkheadv1.SandboxSpec{Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Tap{Tap: "tap0"}}}})
	ask := func(r *bulkheadv1.CreatePoolRequest) error {
		_, err := f.CreatePool(r, "tester")
		return err
	}
	for field, r := range map[string]*bulkheadv1.CreatePoolRequest{
		"name":       {Template: made.GetId()},
		"template":   {Name: "p"},
		"size":       {Name: "p", Template: made.GetId(), Size: 10_001},
		"request_id": {Name: "p", Template: made.GetId(), RequestId: strings.Repeat("x", 65)},
		"labels":     {Name: "p", Template: made.GetId(), Labels: map[string]string{"a b": ""}},
	} {
		err := ask(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "p", Template: strings.Repeat("0", 12)}), fault.NotFound, fault.ReasonNoTemplate)
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "p", Template: tapped.GetId()}), fault.Precondition, fault.ReasonTemplateUnfit)
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 6}), fault.Exhausted, fault.ReasonTooManyMembers)
	f.must(ask(&bulkheadv1.CreatePoolRequest{Name: "p", Template: made.GetId(), Size: 3}))
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "q", Template: made.GetId(), Size: 3}), fault.Exhausted, fault.ReasonTooManyMembers)
	_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "other", Template: made.GetId(), Size: 3}, "somebody else")
	f.must(err)
	_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(6)}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonTooManyMembers)
	f.must(ask(&bulkheadv1.CreatePoolRequest{Name: "empty", Template: made.GetId()}))
	f.must(ask(&bulkheadv1.CreatePoolRequest{Name: "empty2", Template: made.GetId()}))
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "empty3", Template: made.GetId()}), fault.Exhausted, fault.ReasonTooManyMembers)
	_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "empty", Size: proto.Uint32(1)}, "tester")
	f.must(err)                                      // it counted as one before
	f.must(f.SetLimits(node.Limits{PoolMembers: 1})) // smaller is always right
	_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: "p", Size: proto.Uint32(2)}, "tester")
	f.must(err)
	for _, name := range []string{"none", strings.Repeat("x", 1000)} {
		_, err = f.GetPool(name)
		f.kindIs(err, fault.NotFound, fault.ReasonNoPool)
		_, err = f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: name}, "tester")
		f.kindIs(err, fault.NotFound, fault.ReasonNoPool)
		f.kindIs(f.DeletePool(t.Context(), name, ""), fault.NotFound, fault.ReasonNoPool)
	}
	f.kindIs(f.DeletePool(t.Context(), "p", "another"), fault.NotFound, fault.ReasonNoPool)
	// A file that went into the template has changed.
	f.must(os.WriteFile(filepath.Join(f.config.GuestDir, "vmlinux"), []byte("another"), 0o600))
	f.kindIs(ask(&bulkheadv1.CreatePoolRequest{Name: "q", Template: made.GetId()}), fault.Precondition, fault.ReasonTemplateUnfit)
}

func TestPoolsOfTiedNodes(t *testing.T) {
	f := open(t, func(c *node.Config) { c.Tied, c.StateDir = true, "" })
	_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: "p", Template: strings.Repeat("0", 12)}, "tester")
	f.kindIs(err, fault.Unimplemented, fault.ReasonNoPools)
	_, _, err = f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p"}, "tester")
	f.kindIs(err, fault.Unimplemented, fault.ReasonNoPools)
}

func TestListPools(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	for _, name := range []string{"e", "b", "a", "d", "c"} {
		_, err := f.CreatePool(&bulkheadv1.CreatePoolRequest{Name: name, Template: made.GetId(), Labels: map[string]string{"n": name}}, "tester")
		f.must(err)
	}
	for want, r := range map[string]*bulkheadv1.ListPoolsRequest{"a b c d e ": {PageSize: 2}, "a c d e ": {LabelSelector: "n!=b", PageSize: 3}} {
		got := ""
		for {
			page, err := f.ListPools(r)
			f.must(err)
			for _, p := range page.GetPools() {
				got += p.GetName() + " "
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		if got != want {
			t.Errorf("%v: %s", r, got)
		}
	}
	for _, r := range []*bulkheadv1.ListPoolsRequest{{PageSize: 1001}, {PageToken: "x"}, {LabelSelector: "a b"}} {
		_, err := f.ListPools(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	}
}

// update gives a pool another size, and waits until it has that.
func (f *fixture) update(name string, size uint32) *bulkheadv1.Pool {
	f.t.Helper()
	_, err := f.UpdatePool(&bulkheadv1.UpdatePoolRequest{Name: name, Size: proto.Uint32(size)}, "tester")
	f.must(err)
	return f.untilFull(name)
}
