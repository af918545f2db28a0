package node_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// liar is the specification of a sandbox whose guest has taken its worker over.
func liar() *bulkheadv1.SandboxSpec {
	return &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordLies}}
}

// bystander is a process that workers say they are.
type bystander struct {
	*exec.Cmd
	ended chan struct{}
}

func (f *fixture) bystander() *bystander {
	f.t.Helper()
	b := &bystander{exec.Command("sleep", "1000"), make(chan struct{})}
	f.must(b.Start())
	go func() {
		b.Wait()
		close(b.ended)
	}()
	f.t.Cleanup(func() {
		b.Process.Kill()
		<-b.ended
	})
	return b
}

// is has the worker of a name on the host say that it is the bystander.
func (b *bystander) is(f *fixture, host string) {
	f.t.Helper()
	f.must(os.WriteFile(filepath.Join(bundleOf(f, host), "says"), fmt.Append(nil, b.Process.Pid), 0o600))
}

// lives fails the test if somebody has ended the bystander.
func (b *bystander) lives(t *testing.T) {
	t.Helper()
	select {
	case <-b.ended:
		t.Errorf("a process that has to do with nothing was ended: %v", b.ProcessState)
	default:
	}
}

// TestClaimAsksNoWorker claims a member whose worker says that it is another process:
// that one is nobody's to end.
func TestClaimAsksNoWorker(t *testing.T) {
	f := open(t)
	p := f.pool("p", 1, f.template(liar()))
	m, b := f.membersOf(p)[0], f.bystander()
	b.is(f, m.GetSandbox().GetName())
	_, warm := f.claim("p", "box", "sleep", "1000")
	id := f.workerOf("box")
	if !warm || id.PID != int(m.GetWorker().GetPid()) || id.PID != int(f.recordOf("box").GetWorker().GetPid()) {
		t.Errorf("warm: %v, worker %v of %v, kept %v", warm, id, m.GetWorker(), f.recordOf("box").GetWorker())
	}
	f.must(f.Delete(t.Context(), "box", "", true))
	b.lives(t)
	f.hasEnded(id)
}

// TestWorkerLies has a worker that is found again say that it is another process. The
// sandbox has lost it, and the one that is known is ended.
func TestWorkerLies(t *testing.T) {
	f := open(t)
	made := f.template(liar())
	p := f.pool("p", 1, made)
	f.start("runs", liar())
	id, b := f.workerOf("runs"), f.bystander()
	var claimed supervise.Identity
	f.restart(func() {
		m := f.membersOf(p)[0]
		w := m.GetWorker()
		claimed = supervise.Identity{PID: int(w.GetPid()), StartTicks: w.GetStartTicks(), BootID: w.GetBootId()}
		f.claimedByAnother(&storev1.Record{
			Sandbox: &bulkheadv1.Sandbox{Name: "claimed", Uid: "uid", Spec: m.GetSandbox().GetSpec(), Client: "tester", Status: &bulkheadv1.SandboxStatus{
				State: starting, Origin: &bulkheadv1.SandboxOrigin{Template: made.GetId(), Pool: "p"},
			}},
			HostName: m.GetSandbox().GetName(), Worker: w, Template: made.GetId(), Links: m.GetLinks(),
		})
		b.is(f, "runs")
		b.is(f, m.GetSandbox().GetName())
	})
	e := f.until("runs", stopped).GetStatus().GetExit()
	if e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST || !strings.Contains(e.GetMessage(), "the truth") {
		t.Errorf("exit %v", e)
	}
	box := f.until("claimed", running)
	if o := box.GetStatus().GetOrigin(); o.GetPool() != "" || f.restored(box) != made.GetId() {
		t.Errorf("from %v", o)
	}
	f.exec("claimed", "true")
	b.lives(t)
	f.hasEnded(id)
	f.hasEnded(claimed)
	f.must(f.Delete(t.Context(), "claimed", "", true))
	f.must(f.Delete(t.Context(), "runs", "", true))
	b.lives(t)
}
