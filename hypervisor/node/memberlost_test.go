package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// ruins are what can happen to a member between its being taken and its going on.
func ruins() map[string]func(*fixture, *storev1.Record) {
	return map[string]func(*fixture, *storev1.Record){
		"the guest is gone": func(f *fixture, m *storev1.Record) {
			f.must(os.RemoveAll(filepath.Join(f.config.RuntimeDir, m.GetHostName(), "guest")))
		},
		"the worker is gone": func(f *fixture, m *storev1.Record) {
			proc, err := os.FindProcess(int(m.GetWorker().GetPid()))
			f.must(err)
			f.must(proc.Kill())
		},
	}
}

// TestClaimLosesItsMember: whoever claimed it hears that it is cold, or, if it must not be,
// that there is none, and nothing is left.
func TestClaimLosesItsMember(t *testing.T) {
	for name, ruin := range ruins() {
		for _, mustBeWarm := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", it must be warm: ", mustBeWarm), func(t *testing.T) {
				s := &takenStore{Store: store.NewMemory()}
				f := open(t, func(c *node.Config) { c.BootTimeout, c.Store = 5*time.Second, s })
				made := f.template(nil)
				f.pool("p", 1, made)
				s.taken = func(r *storev1.Record) { ruin(f, r) }
				r := &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "box", MustBeWarm: mustBeWarm}
				box, warm, err := f.Claim(t.Context(), r, "tester")
				s.taken = nil
				if mustBeWarm {
					f.kindIs(err, fault.Unavailable, fault.ReasonPoolEmpty)
					f.isNothing("box")
				} else {
					f.must(err)
					f.isCold(box, warm, made)
					again, warm, err := f.Claim(t.Context(), r, "tester")
					f.must(err)
					f.isCold(again, warm, made)
				}
			})
		}
	}
}

// isNothing fails the test if anything is left of a sandbox beside a pool's member, which
// the next claim gets.
func (f *fixture) isNothing(name string) {
	f.t.Helper()
	if box, err := f.Get(name); fault.KindOf(err) != fault.NotFound {
		f.t.Errorf("left: %v, %v", box, err)
	}
	p := f.untilFull("p")
	if s := p.GetStatus(); s.GetWarmClaims() != 0 || s.GetColdClaims() != 0 {
		f.t.Errorf("status %v", s)
	}
	if _, given, _, _ := f.Share(); given.GetCpus() != 1 || len(f.workers()) != 1 {
		f.t.Errorf("%v are given to a member; workers %q", given, f.workers())
	}
	if _, warm := f.claim("p", name); !warm {
		f.t.Error("cold")
	}
}

func (f *fixture) isCold(box *bulkheadv1.Sandbox, warm bool, from *bulkheadv1.Template) {
	f.t.Helper()
	if s := box.GetStatus(); warm || s.GetState() != running || s.GetOrigin().GetPool() != "" || f.restored(box) != from.GetId() {
		f.t.Errorf("warm: %v, %v", warm, box)
	}
	if s := f.untilFull("p").GetStatus(); s.GetWarmClaims() != 0 || s.GetColdClaims() != 1 {
		f.t.Errorf("status %v", s)
	}
}

// TestClaimCantGoOn has that happen while there is no node: the next one starts the
// sandbox from the template, by itself, or removes it.
func TestClaimCantGoOn(t *testing.T) {
	for name, ruin := range ruins() {
		for _, mustBeWarm := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", it must be warm: ", mustBeWarm), func(t *testing.T) {
				f := open(t, func(c *node.Config) { c.BootTimeout = 5 * time.Second })
				made := f.template(nil)
				p := f.pool("p", 1, made)
				f.must(f.Close())
				m := f.membersOf(p)[0]
				r := &storev1.Record{
					Sandbox: &bulkheadv1.Sandbox{Name: "box", Uid: "uid", Spec: m.GetSandbox().GetSpec(), Client: "tester", Status: &bulkheadv1.SandboxStatus{
						State: starting, Origin: &bulkheadv1.SandboxOrigin{Template: made.GetId(), Pool: "p"},
					}},
					HostName: m.GetSandbox().GetName(), Worker: m.GetWorker(), Template: made.GetId(), Links: m.GetLinks(),
					Claim: &storev1.Claim{Pool: "p", Warm: true, MustBeWarm: mustBeWarm},
				}
				f.claimedByAnother(r)
				ruin(f, r)
				f.reopen()
				if mustBeWarm {
					f.untilGone("box")
					f.isNothing("box")
					return
				}
				box := f.until("box", running)
				if o := box.GetStatus().GetOrigin(); o.GetPool() != "" || f.restored(box) != made.GetId() {
					t.Errorf("from %v", o)
				}
				f.exec("box", "true")
				f.untilFull("p")
			})
		}
	}
}

// claimedByAnother has a member be a sandbox, as a node left it that was killed then.
func (f *fixture) claimedByAnother(r *storev1.Record) {
	f.t.Helper()
	_, err := f.config.Store.Claim(r, store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Message: "claimed"})
	f.must(err)
}
