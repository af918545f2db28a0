package node_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// beginClaim claims, and returns once the sandbox is there. The channel has how it ends.
func (f *fixture) beginClaim(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest) <-chan error {
	f.t.Helper()
	answer := make(chan error, 1)
	go func() {
		_, _, err := f.Claim(ctx, r, "tester")
		answer <- err
	}()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := f.Get(r.GetName()); err == nil {
			return answer
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s isn't claimed", r.GetName())
		}
	}
}

// slowSpec is of a guest that takes its time to come up.
func slowSpec() *bulkheadv1.SandboxSpec {
	return &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}}
}

// takenStore tells of each member that is claimed, before anybody goes on with it.
type takenStore struct {
	store.Store
	taken func(*storev1.Record)
}

func (s *takenStore) Claim(r *storev1.Record, c store.Change) (uint64, error) {
	version, err := s.Store.Claim(r, c)
	if err == nil && s.taken != nil {
		s.taken(r)
	}
	return version, err
}

func openTaken(t *testing.T) (*fixture, *takenStore) {
	s := &takenStore{Store: store.NewMemory()}
	return open(t, func(c *node.Config) { c.Store = s }), s
}

// TestClaimEndsWhileStarting: who claims hears that the sandbox hasn't started, whatever
// ended it, and also where nothing is left of it.
func TestClaimEndsWhileStarting(t *testing.T) {
	f := open(t)
	f.pool("p", 0, f.template(slowSpec()))
	for name, end := range map[string]func(name string) error{
		"worker-gone": func(name string) error {
			id := f.untilWorker(name)
			f.untilFile(filepath.Join(bundleOf(f, name), "guest")) // before that it says nothing of its end
			return supervise.Kill(id)
		},
		"stop":   func(name string) error { return second(f.Stop(t.Context(), name, 0)) },
		"kill":   func(name string) error { return second(f.Kill(t.Context(), name)) },
		"delete": func(name string) error { return f.Delete(t.Context(), name, "", true) },
		"drain": func(string) error {
			return errors.Join(second(f.Drain(t.Context(), true, 0)), f.Undrain())
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, autoDelete := range []bool{false, true} {
				answer := f.beginClaim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: name, Spec: &bulkheadv1.SandboxSpec{AutoDelete: autoDelete}})
				f.must(end(name))
				f.kindIs(<-answer, fault.Aborted, fault.ReasonStartFailed)
				if err := f.Delete(t.Context(), name, "", true); err != nil && fault.KindOf(err) != fault.NotFound {
					t.Error(err)
				}
				f.untilGone(name)
			}
		})
	}
}

// TestClaimStoppedWhileAttaching stops what was claimed before its worker is found, which
// isn't called off.
func TestClaimStoppedWhileAttaching(t *testing.T) {
	f, s := openTaken(t)
	f.pool("p", 1, f.template(nil))
	worker := make(chan int, 1)
	s.taken = func(r *storev1.Record) {
		f.halt(int(r.GetWorker().GetPid()))
		worker <- int(r.GetWorker().GetPid())
	}
	answer := f.beginClaim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "box"})
	ended := make(chan error, 1)
	go func() { ended <- second(f.Stop(t.Context(), "box", 0)) }()
	f.until("box", stopping)
	f.must(unix.Kill(<-worker, unix.SIGCONT))
	f.must(<-ended)
	f.kindIs(<-answer, fault.Aborted, fault.ReasonStartFailed)
}

// TestClaimAgainAfterAFailure: the answer is the same for every node.
func TestClaimAgainAfterAFailure(t *testing.T) {
	f := open(t)
	f.pool("p", 0, f.template(slowSpec()))
	r := &bulkheadv1.ClaimSandboxRequest{Pool: "p", Name: "box"}
	answer := f.beginClaim(t.Context(), r)
	_, err := f.Kill(t.Context(), "box")
	f.must(err)
	f.kindIs(<-answer, fault.Aborted, fault.ReasonStartFailed)
	for range 2 {
		_, _, err = f.Claim(t.Context(), r, "tester")
		f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
		f.restart(nil)
	}
	// One that has started is as it was claimed, however it ended.
	_, err = f.Node.Start(t.Context(), "box")
	f.must(err)
	_, err = f.Kill(t.Context(), "box")
	f.must(err)
	f.restart(nil)
	if box, _ := f.claim("p", "box"); box.GetStatus().GetState() != stopped {
		t.Errorf("%v", box)
	}
}
