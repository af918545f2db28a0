package node_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// leftFrozen has the node end while a sandbox is saved whose guest doesn't go on after
// that, and waits until the next one has noticed.
func (f *fixture) leftFrozen(name string) {
	f.t.Helper()
	words := workertest.WordHungSave + " " + workertest.WordNoThaw
	f.start(name, &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: words}}, "sleep", "1000")
	go f.Snapshot(context.Background(), &bulkheadv1.CreateSnapshotRequest{Sandbox: name, Name: "lost"}, "tester")
	f.untilFrozen(name)
	time.Sleep(100 * time.Millisecond) // until its agent would no longer undo that for a host that has gone
	f.restart(nil)
	f.untilProblem(name, true)
}

func (f *fixture) untilProblem(name string, want bool) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		box, err := f.Get(name)
		f.must(err)
		if p := box.GetStatus().GetProblem(); (p != "") == want {
			if want && (!strings.Contains(p, "stand still") || !strings.Contains(p, workertest.WordNoThaw)) {
				f.t.Errorf("problem %q", p)
			}
			return
		}
		if time.Since(began) > time.Minute {
			f.t.Fatalf("status %v, want a problem: %v", box.GetStatus(), want)
		}
	}
}

// thaw lets a guest go on that was kept from it.
func (f *fixture) thaw(name string) {
	f.t.Helper()
	f.must(os.WriteFile(filepath.Join(f.config.RuntimeDir, name, "guest", "thaw"), nil, 0o600))
}

// TestStaysFrozen has a node, and the next one, try again to make a guest go on.
func TestStaysFrozen(t *testing.T) {
	f := open(t, impatient)
	f.leftFrozen("box")
	_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box"}, "tester")
	if k := fault.KindOf(err); k != fault.Precondition && k != fault.Unavailable {
		t.Errorf("saved: %v", err)
	}
	f.nothingUnderWay()
	f.restart(nil) // which has no half a snapshot that says so
	f.settled("box")
	if !f.frozen("box") {
		t.Fatal("the guest goes on")
	}
	f.thaw("box")
	f.untilProblem("box", false)
	if f.frozen("box") {
		t.Error("the guest stands still")
	}
	f.exec("box", "true")
	next, stop := f.watch(&bulkheadv1.WatchSandboxesRequest{ResourceVersion: proto.Uint64(0)})
	defer stop()
	for _, want := range []string{"its processes stand still since a snapshot failed", "its processes go on"} {
		for !strings.HasPrefix(next().GetMessage(), want) { // which waits for as long as is decent
		}
	}
}

// patiently has something be done as soon as the node isn't at the sandbox any more.
func (f *fixture) patiently(do func() error) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			f.t.Fatal(err)
		}
	}
}

// TestPausedWhileFrozen: nobody makes a guest go on that is paused.
func TestPausedWhileFrozen(t *testing.T) {
	f := open(t, impatient)
	f.leftFrozen("box")
	f.patiently(func() error { _, err := f.Pause(t.Context(), "box"); return err })
	f.thaw("box")
	time.Sleep(2 * time.Second)
	f.untilProblem("box", true)
	f.restart(nil)
	f.until("box", paused)
	f.untilProblem("box", true)
	f.patiently(func() error { _, err := f.Resume(t.Context(), "box"); return err })
	f.untilProblem("box", false)
	f.exec("box", "true")
}

// TestStopWhileFrozen leaves no problem behind.
func TestStopWhileFrozen(t *testing.T) {
	f := open(t, impatient)
	f.leftFrozen("box")
	_, err := f.Kill(t.Context(), "box")
	f.must(err)
	f.untilProblem("box", false)
	f.nothingUnderWay()
}
