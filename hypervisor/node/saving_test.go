package node_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestSnapshotInOtherStates(t *testing.T) {
	f := open(t)
	refused := func(name string) {
		t.Helper()
		_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: name}, "tester")
		f.kindIs(err, fault.Precondition, fault.ReasonState)
	}
	f.create("box", nil)
	refused("box")
	_, err := f.Start(t.Context(), "box")
	f.must(err)
	_, err = f.Pause(t.Context(), "box")
	f.must(err)
	refused("box")
	_, err = f.Stop(t.Context(), "box", 0)
	f.must(err)
	refused("box")
	f.create("slow", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlow}})
	go f.Start(context.Background(), "slow")
	f.until("slow", starting)
	refused("slow")
	f.nothingUnderWay()
}

// TestWhileSaving has a sandbox that is being saved be used, and not by two at once.
func TestWhileSaving(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowSave}})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "one", RequestId: "r"}
	if _, err := f.Snapshot(short, r, "tester"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("saved in no time: %v", err)
	}
	_, err := f.Pause(t.Context(), "box")
	f.kindIs(err, fault.Unavailable, fault.ReasonState)
	_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "two"}, "tester")
	f.kindIs(err, fault.Unavailable, fault.ReasonState)
	_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "one"}, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	s, err := f.Snapshot(t.Context(), r, "tester") // waits for the first
	f.must(err)
	if s.GetName() != "one" {
		t.Errorf("%v", s)
	}
	f.exec("box", "true")
}

// TestKillWhileSaving ends sandboxes whose workers hang in a snapshot.
func TestKillWhileSaving(t *testing.T) {
	for name, end := range map[string]func(*fixture) error{
		"kill": func(f *fixture) error { _, err := f.Kill(f.t.Context(), "box"); return err },
		"rm":   func(f *fixture) error { return f.Delete(f.t.Context(), "box", "", true) },
		"stop": func(f *fixture) error { _, err := f.Stop(f.t.Context(), "box", 0); return err },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHungSave}}, "sleep", "1000")
			saved := make(chan error, 1)
			go func() {
				_, err := f.Snapshot(context.Background(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "lost"}, "tester")
				saved <- err
			}()
			f.untilFrozen("box")
			began := time.Now()
			f.must(end(f))
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			f.kindIs(<-saved, fault.Aborted, fault.ReasonEnded)
			_, err := f.GetSnapshot("lost")
			f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
			f.nothingUnderWay()
		})
	}
}

// frozen reports whether a sandbox's guest stands still.
func (f *fixture) frozen(name string) (frozen bool) {
	f.t.Helper()
	i, end, err := f.Use(name)
	f.must(err)
	defer end()
	f.must(i.With(f.t.Context(), func(ctx context.Context, a *guest.Agent) error {
		h, err := a.Health(ctx, &agentv1.HealthRequest{})
		frozen = h.GetFrozen()
		return err
	}))
	return frozen
}

// untilFrozen waits until a sandbox's guest stands still.
func (f *fixture) untilFrozen(name string) {
	f.t.Helper()
	for began := time.Now(); !f.frozen(name); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("%s doesn't stand still", name)
		}
	}
}

func TestFullDisk(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordFullSave}})
	_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "large"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	f.nothingUnderWay()
	f.exec("box", "true")
	if f.frozen("box") {
		t.Error("the guest stands still")
	}
}

// TestNodeEndsWhileSaving has the next node make the guest go on.
func TestNodeEndsWhileSaving(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHungSave}}, "sleep", "1000")
	go f.Snapshot(context.Background(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "lost"}, "tester")
	f.untilFrozen("box")
	f.restart(func() {
		if left, _ := filepath.Glob(f.snapshotDir(".new-box-*")); len(left) != 1 {
			t.Errorf("nothing says that the guest stands still: %q", left)
		}
	})
	f.settled("box")
	f.nothingUnderWay()
	if f.frozen("box") {
		t.Error("the guest stands still")
	}
	f.exec("box", "true")
	nodetest.Empty(t, f.snapshotDir(""))
}
