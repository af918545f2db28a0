package node_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

func impatient(c *node.Config) { c.Patience = 300 * time.Millisecond }

func bundleOf(f *fixture, name string) string { return filepath.Join(f.config.RuntimeDir, name) }

// TestSilentWorker has a worker not answer when the node comes back: it is ended
// before anything else has its disks.
func TestSilentWorker(t *testing.T) {
	f := open(t, impatient)
	for name, state := range map[string]bulkheadv1.SandboxState{"runs": running, "starts": starting} {
		t.Run(name, func(t *testing.T) {
			f.start(name, nil)
			id := f.workerOf(name)
			f.restart(func() {
				f.freeze(id)
				f.rewrite(name, in(state))
				f.rewrite(name, func(r *storev1.Record) { r.Worker = nil }) // the node was killed before
			})
			if state == starting {
				f.until(name, running)
				f.settled(name)
				if f.workerOf(name) == id {
					t.Error("a frozen worker was found")
				}
			} else if e := f.until(name, stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST ||
				!strings.Contains(e.GetMessage(), "did not answer") {
				t.Errorf("exit %v", e)
			}
			f.hasEnded(id)
		})
	}
}

// TestLateWorker can't be reached at first: while it lives, it is waited for.
func TestLateWorker(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	id := f.workerOf("box")
	socket := filepath.Join(bundleOf(f, "box"), "worker.sock")
	f.restart(func() { f.must(os.Rename(socket, socket+".away")) })
	time.Sleep(200 * time.Millisecond)
	f.until("box", running)
	f.must(os.Rename(socket+".away", socket))
	f.settled("box")
	if now := f.workerOf("box"); now != id {
		t.Errorf("worker %v, was %v", now, id)
	}
}

// TestWorkerNobodyKnows can't be ended, for nobody knows which process it is. As long
// as it lives there is no other.
func TestWorkerNobodyKnows(t *testing.T) {
	f := open(t, impatient)
	f.start("box", nil)
	id := f.workerOf("box")
	f.restart(func() {
		f.freeze(id)
		f.must(os.Remove(filepath.Join(bundleOf(f, "box"), "worker.id")))
		f.rewrite("box", in(starting))
		f.rewrite("box", func(r *storev1.Record) { r.Worker = nil })
	})
	time.Sleep(time.Second)
	f.until("box", starting)
	if _, err := os.Stat(filepath.Join(bundleOf(f, "box"), "worker.sock")); err != nil {
		t.Errorf("the bundle of a worker that lives: %v", err)
	}
	f.restart(nil) // it doesn't keep the node from ending
	f.must(supervise.Kill(id))
	f.until("box", running)
	f.settled("box")
}

// TestKillSilent kills a sandbox whose worker the node still waits for.
func TestKillSilent(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	id := f.workerOf("box")
	f.restart(func() { f.freeze(id) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // much less than patience
	defer cancel()
	box, err := f.Kill(ctx, "box")
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_KILLED {
		t.Errorf("exit %v", e)
	}
	f.hasEnded(id)
}

// TestTwoWorkers starts a sandbox whose last worker lives, unknown to the record.
func TestTwoWorkers(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	id := f.workerOf("box")
	f.restart(func() {
		f.freeze(id)
		f.rewrite("box", in(stopped))
		f.rewrite("box", func(r *storev1.Record) { r.Worker = nil })
	})
	_, err := f.Start(t.Context(), "box")
	f.must(err)
	f.hasEnded(id)
	if now := f.workerOf("box"); now == id {
		t.Error("a frozen worker was used")
	}
}

// TestLeftovers are of a run that couldn't be cleared away when it ended.
func TestLeftovers(t *testing.T) {
	f := open(t)
	f.create("box", nil)
	b, err := supervise.NewBundle(f.config.RuntimeDir, "box")
	f.must(err)
	w, err := supervise.Start(b, supervise.Options{Path: f.config.WorkerPath})
	f.must(err)
	f.freeze(w.Identity())
	f.must(w.Detach())
	f.must(b.Release())
	_, err = f.Start(t.Context(), "box")
	f.must(err)
	f.hasEnded(w.Identity())
}

// TestFrozenStray is a worker of no sandbox that doesn't answer.
func TestFrozenStray(t *testing.T) {
	f := open(t, impatient)
	f.start("box", nil)
	id := f.workerOf("box")
	f.restart(func() {
		f.freeze(id)
		_, err := f.config.Store.Delete(f.recordOf("box"), "lost")
		f.must(err)
	})
	f.hasEnded(id)
	if _, err := os.Stat(bundleOf(f, "box")); !os.IsNotExist(err) {
		t.Errorf("its bundle: %v", err)
	}
}
