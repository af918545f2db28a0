package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// recordOf returns what is kept of a sandbox.
func (f *fixture) recordOf(name string) *storev1.Record {
	f.t.Helper()
	records, err := f.config.Store.Records()
	f.must(err)
	for _, r := range records {
		if r.GetSandbox().GetName() == name {
			return proto.CloneOf(r)
		}
	}
	f.t.Fatalf("nothing is kept of %s", name)
	return nil
}

// rewrite is a node that was killed: what it kept last is something else.
func (f *fixture) rewrite(name string, change func(*storev1.Record)) {
	f.t.Helper()
	r := f.recordOf(name)
	change(r)
	_, err := f.config.Store.Put(r, store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_MODIFIED, Message: "rewritten"})
	f.must(err)
}

func in(state bulkheadv1.SandboxState) func(*storev1.Record) {
	return func(r *storev1.Record) { r.Sandbox.Status.State = state }
}

// hasEnded fails the test if a process lives. It may be this one's child for which
// nobody has waited.
func (f *fixture) hasEnded(id supervise.Identity) {
	f.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id.PID))
	if err == nil && !strings.Contains(string(b), ") Z ") {
		f.t.Errorf("the worker is still there: %s", b)
	}
}

// freeze has a worker do nothing more, as one whose host swaps.
func (f *fixture) freeze(id supervise.Identity) {
	f.t.Helper()
	f.halt(id.PID)
	f.t.Cleanup(func() { supervise.Kill(id) })
}

// halt stops a process, and returns when all of its threads stand still: each does
// so when it next has a processor.
func (f *fixture) halt(pid int) {
	f.t.Helper()
	f.must(unix.Kill(pid, unix.SIGSTOP))
	for start := time.Now(); !stands(pid); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			f.t.Fatalf("process %d goes on after SIGSTOP", pid)
		}
	}
}

func stands(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		if b, err := os.ReadFile(path); err == nil && !strings.Contains(string(b), ") T ") {
			return false
		}
	}
	return true
}

func TestStopGoesOn(t *testing.T) {
	f := open(t)
	for name, meanwhile := range map[string]func(supervise.Identity){
		"worker-lives": func(supervise.Identity) {},
		"worker-gone":  func(id supervise.Identity) { f.must(supervise.Kill(id)) },
	} {
		t.Run(name, func(t *testing.T) {
			f.start(name, nil, "sleep", "1000")
			id := f.workerOf(name)
			f.restart(func() {
				meanwhile(id)
				f.rewrite(name, func(r *storev1.Record) {
					in(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING)(r)
					r.Stopping = bulkheadv1.ExitReason_EXIT_REASON_STOPPED
				})
			})
			if e := f.until(name, stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED {
				t.Errorf("exit %v", e)
			}
			f.hasEnded(id)
		})
	}
}

// TestDeletionGoesOn has a worker that lives, too, of a node that was killed between
// its end and what it kept of it.
func TestDeletionGoesOn(t *testing.T) {
	f := open(t)
	for _, frozen := range []bool{false, true} {
		f.start("box", nil)
		id := f.workerOf("box")
		f.restart(func() {
			if frozen {
				f.freeze(id)
			}
			f.rewrite("box", in(deleting))
			f.rewrite("box", func(r *storev1.Record) { r.Worker = nil })
		})
		f.untilGone("box")
		f.hasEnded(id)
	}
}

func TestBackOffGoesOn(t *testing.T) {
	f := open(t)
	policy := onFailure(0)
	policy.Backoff, policy.MaxBackoff = durationpb.New(time.Hour), nil
	f.start("box", &bulkheadv1.SandboxSpec{Restart: policy})
	f.must(supervise.Kill(f.workerOf("box")))
	before := f.until("box", backing).GetStatus().GetRestartTime()
	f.restart(nil)
	if s := f.until("box", backing).GetStatus(); !proto.Equal(s.GetRestartTime(), before) {
		t.Errorf("to be restarted at %v, was %v", s.GetRestartTime().AsTime(), before.AsTime())
	}
	f.restart(func() {
		f.rewrite("box", func(r *storev1.Record) { r.Sandbox.Status.RestartTime = timestamppb.Now() })
	})
	f.until("box", running)
	f.settled("box")
}

// TestTimeToLiveEndsMeanwhile is over when the node comes back.
func TestTimeToLiveEndsMeanwhile(t *testing.T) {
	f := open(t)
	ttl := &bulkheadv1.SandboxSpec{Ttl: durationpb.New(time.Hour)}
	f.start("runs", proto.CloneOf(ttl))
	f.create("created", proto.CloneOf(ttl))
	id := f.workerOf("runs")
	f.restart(func() {
		for _, name := range []string{"runs", "created"} {
			f.rewrite(name, func(r *storev1.Record) {
				r.Sandbox.CreateTime = timestamppb.New(time.Now().Add(-2 * time.Hour))
			})
		}
	})
	f.untilGone("runs")
	f.untilGone("created")
	f.hasEnded(id)
}

// TestImagesGoneAtRestart moves the root file system and the guest's own files away:
// a guest that is up has them.
func TestImagesGoneAtRestart(t *testing.T) {
	f := open(t)
	root := filepath.Join(filepath.Dir(f.config.GuestDir), "root.erofs")
	f.must(os.WriteFile(root, append(make([]byte, 1024), "\xe2\xe1\xf5\xe0"...), 0o600))
	f.start("box", &bulkheadv1.SandboxSpec{RootFs: &bulkheadv1.RootFS{Path: root}})
	f.start("job", nil, "sleep", "1000")
	id := f.workerOf("box")
	f.restart(func() {
		f.must(os.Remove(root))
		f.must(os.Rename(f.config.GuestDir, f.config.GuestDir+".old"))
	})
	f.settled("box")
	f.settled("job")
	if now := f.workerOf("box"); now != id {
		t.Errorf("worker %v, was %v", now, id)
	}
	// The next start misses them, and says so.
	_, err := f.Kill(t.Context(), "box")
	f.must(err)
	if _, err = f.Start(t.Context(), "box"); err == nil || !strings.Contains(err.Error(), root) {
		t.Errorf("start without its root file system: %v", err)
	}
}

// TestStartGoesOnWithoutImages restarts the node when the machine has its disks, and
// the agent was not yet told what they are.
func TestStartGoesOnWithoutImages(t *testing.T) {
	f := open(t)
	f.create("slow", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}})
	go f.Node.Start(t.Context(), "slow")
	f.untilWorker("slow")
	f.restart(func() { f.must(os.Remove(filepath.Join(f.config.GuestDir, "vmlinux"))) })
	e := f.until("slow", stopped).GetStatus().GetExit()
	if e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_START_FAILED || !strings.Contains(e.GetMessage(), "vmlinux") {
		t.Errorf("exit %v", e)
	}
}

// untilWorker waits until it is kept that a sandbox has a worker.
func (f *fixture) untilWorker(name string) supervise.Identity {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if w := f.recordOf(name).GetWorker(); w != nil {
			return supervise.Identity{PID: int(w.GetPid()), StartTicks: w.GetStartTicks(), BootID: w.GetBootId()}
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s has no worker", name)
		}
	}
}
