package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// restart is the node's end and return, with something done in between.
func (f *fixture) restart(meanwhile func()) {
	f.t.Helper()
	f.must(f.Close())
	if meanwhile != nil {
		meanwhile()
	}
	f.reopen()
}

// settled waits until a sandbox that was found again can be used.
func (f *fixture) settled(name string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		_, end, err := f.Use(name)
		if err == nil {
			end()
			return
		}
		if fault.KindOf(err) != fault.Unavailable || time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s: %v", name, err)
		}
	}
}

func (f *fixture) workerOf(name string) supervise.Identity {
	f.t.Helper()
	i, end, err := f.Use(name)
	f.must(err)
	defer end()
	return i.Worker()
}

func TestSandboxesOutliveTheNode(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	f.start("job", nil, "sh", "-c", "while [ ! -e "+filepath.Join(f.config.StateDir, "end")+" ]; do sleep 0.05; done; echo done; exit 4")
	f.start("paused", nil)
	_, err := f.Pause(t.Context(), "paused")
	f.must(err)
	f.create("created", nil)
	f.start("stopped", nil, "true")
	f.until("stopped", stopped)
	before := f.workerOf("box")
	for range 3 {
		f.restart(nil)
		f.settled("box")
		if after := f.workerOf("box"); after != before {
			t.Fatalf("worker %v, was %v", after, before)
		}
		if out, _ := f.exec("box", "echo", "still here"); out != "still here\n" {
			t.Errorf("exec: %q", out)
		}
	}
	f.until("job", running)
	f.until("paused", paused)
	f.until("created", created)
	f.until("stopped", stopped)
	for err = errors.New("not yet"); err != nil; {
		if _, err = f.Resume(t.Context(), "paused"); err != nil {
			f.kindIs(err, fault.Unavailable, fault.ReasonState) // it is being found again
		}
	}
	f.exec("paused", "true")
	f.must(os.WriteFile(filepath.Join(f.config.StateDir, "end"), nil, 0o600))
	if e := f.until("job", stopped).GetStatus().GetExit(); e.GetExitCode() != 4 {
		t.Errorf("exit of a command that outlived nodes: %v", e)
	}
}

func TestCommandEndsMeanwhile(t *testing.T) {
	f := open(t)
	ended := filepath.Join(f.config.StateDir, "ended")
	f.start("job", nil, "sh", "-c", "while [ ! -e "+ended+".may ]; do sleep 0.05; done; touch "+ended+"; exit 6")
	f.restart(func() {
		if records, err := f.config.Store.Records(); err != nil || records[0].GetSandbox().GetStatus().GetState() != running {
			t.Errorf("left as %v, %v", records, err)
		}
		f.must(os.WriteFile(ended+".may", nil, 0o600))
		f.untilFile(ended)
	})
	if e := f.until("job", stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED || e.GetExitCode() != 6 {
		t.Errorf("exit %v", e)
	}
}

func TestWorkerEndsMeanwhile(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	f.start("again", &bulkheadv1.SandboxSpec{Restart: onFailure(1)})
	workers := []supervise.Identity{f.workerOf("box"), f.workerOf("again")}
	f.restart(func() {
		for _, w := range workers {
			f.must(supervise.Kill(w))
		}
	})
	if e := f.until("box", stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST {
		t.Errorf("exit %v", e)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) { // it is RUNNING from before, too
		box, err := f.Get("again")
		f.must(err)
		if box.GetStatus().GetRestarts() == 1 && box.GetStatus().GetState() == running {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("not restarted: %v", box.GetStatus())
		}
	}
	f.settled("again")
	f.exec("again", "true")
}

func TestStartGoesOn(t *testing.T) {
	f := open(t)
	f.create("slow", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}}, "sleep", "1000")
	go f.Node.Start(t.Context(), "slow")
	f.until("slow", starting)
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		if pids, _ := filepath.Glob(filepath.Join(f.config.RuntimeDir, "slow", "*.sock")); len(pids) > 0 {
			break // its worker is there
		}
	}
	f.restart(func() {
		if records, err := f.config.Store.Records(); err != nil || records[0].GetSandbox().GetStatus().GetState() != starting {
			t.Errorf("left as %v, %v: there is no start to go on with", records, err)
		}
	})
	f.until("slow", running)
	f.exec("slow", "true")
	f.restart(nil)
	f.settled("slow")
}

// TestGraceGoesOn has the node go away while a command has time to end, which it
// still has then.
func TestGraceGoesOn(t *testing.T) {
	f := open(t)
	dir := f.config.StateDir
	f.start("job", nil, "sh", "-c", "cd "+dir+"; trap 'touch asked; while [ ! -e end ]; do sleep 0.05; done; exit 5' TERM; touch ready; while :; do sleep 0.05; done")
	f.untilFile(filepath.Join(dir, "ready"))
	go f.Node.Stop(t.Context(), "job", time.Hour)
	f.untilFile(filepath.Join(dir, "asked"))
	f.restart(nil)
	f.until("job", stopping)
	records, err := f.config.Store.Records()
	f.must(err)
	if left := time.Until(records[0].GetGraceUntil().AsTime()); left < 50*time.Minute || left > time.Hour {
		t.Errorf("%v are left of an hour", left)
	}
	f.must(os.WriteFile(filepath.Join(dir, "end"), nil, 0o600))
	if e := f.until("job", stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || e.GetExitCode() != 5 || e.GetForced() {
		t.Errorf("exit %v", e)
	}
}

// TestKillWhileFoundAgain kills a sandbox of which the node doesn't know yet
// whether it is there.
func TestKillWhileFoundAgain(t *testing.T) {
	f := open(t)
	f.deaf("deaf")
	worker := f.workerOf("deaf").PID
	go f.Node.Stop(t.Context(), "deaf", time.Hour)
	f.until("deaf", stopping)
	f.restart(func() { f.halt(worker) })
	killed := make(chan error, 1)
	before := f.config.Store.Version()
	go func() {
		_, err := f.Kill(t.Context(), "deaf")
		killed <- err
	}()
	for began := time.Now(); f.config.Store.Version() == before && time.Since(began) < 2*time.Second; {
		time.Sleep(5 * time.Millisecond) // until it is known that it is to be killed
	}
	syscall.Kill(worker, syscall.SIGCONT) // unless it was ended as it was
	box := f.until("deaf", stopped)
	f.must(<-killed)
	if e := box.GetStatus().GetExit(); e.GetExitCode() != 137 {
		t.Errorf("exit %v", e)
	}
}

// untilFile waits until a file is there.
func (f *fixture) untilFile(path string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s is not made", path)
		}
	}
}

// TestStrays leaves a worker and files that no record knows.
func TestStrays(t *testing.T) {
	f := open(t)
	f.start("known", nil)
	b, err := supervise.NewBundle(f.config.RuntimeDir, "stray")
	f.must(err)
	w, err := supervise.Start(b, supervise.Options{Path: f.config.WorkerPath})
	f.must(err)
	id := w.Identity()
	f.must(os.Mkdir(filepath.Join(f.config.StateDir, "sandboxes", "old"), 0o700))
	f.restart(func() { f.must(errors.Join(w.Detach(), b.Release())) })
	for _, path := range []string{filepath.Join(f.config.RuntimeDir, "stray"), filepath.Join(f.config.StateDir, "sandboxes", "old")} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there", path)
		}
	}
	// It was this process's child, and nobody has waited for it.
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id.PID)); err == nil && !strings.Contains(string(b), ") Z ") {
		t.Errorf("the worker is still there: %s", b)
	}
	f.settled("known")
}

// TestDeletedBeforeItIsFound has a client delete a sandbox whose worker nobody knows
// but itself: the node was killed as it began, and it doesn't answer at first.
func TestDeletedBeforeItIsFound(t *testing.T) {
	f := open(t)
	f.create("slow", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordNoBoot}})
	go f.Start(context.Background(), "slow")
	id := f.untilWorker("slow")
	f.must(f.Close())
	f.rewrite("slow", func(r *storev1.Record) { r.Worker = nil })
	f.must(os.Remove(filepath.Join(f.config.RuntimeDir, "slow", "worker.id")))
	f.halt(id.PID)
	f.reopen()
	time.AfterFunc(time.Second, func() { syscall.Kill(id.PID, syscall.SIGCONT) })
	f.must(f.Delete(t.Context(), "slow", "", true))
	f.hasEnded(id)
}
