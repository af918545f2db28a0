package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestPause(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	_, err := f.Resume(t.Context(), "box") // it is running
	f.must(err)
	box, err := f.Pause(t.Context(), "box")
	f.must(err)
	if box.GetStatus().GetState() != paused {
		t.Errorf("state %v", box.GetStatus())
	}
	_, _, err = f.Use("box")
	f.kindIs(err, fault.Precondition, fault.ReasonState)
	if s, err := f.Stats(t.Context(), "box"); err != nil || len(s.GetDevices()) != 1 {
		t.Errorf("stats of a paused sandbox: %v, %v", s, err)
	}
	_, err = f.Start(t.Context(), "box")
	f.kindIs(err, fault.Precondition, fault.ReasonState)
	_, err = f.Resume(t.Context(), "box")
	f.must(err)
	if out, _ := f.exec("box", "echo", "again"); out != "again\n" {
		t.Errorf("exec: %q", out)
	}
	_, err = f.Pause(t.Context(), "box")
	f.must(err)
	box, err = f.Stop(t.Context(), "box", node.DefaultGrace)
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetForced() {
		t.Errorf("a paused sandbox was not asked to end: %v", e)
	}
	f.create("idle", nil)
	_, err = f.Pause(t.Context(), "idle")
	f.kindIs(err, fault.Precondition, fault.ReasonState)
}

// TestPauseCancelled has the caller not wait for it: the sandbox is what it is
// said to be all the same.
func TestPauseCancelled(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowPause}})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.Pause(short, "box"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("paused in no time: %v", err)
	}
	f.until("box", paused)
	_, err := f.Resume(t.Context(), "box")
	f.must(err)
	f.exec("box", "true")
}

// TestPauseUnanswered has the worker pause without saying so.
func TestPauseUnanswered(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordLostPause}})
	_, err := f.Pause(t.Context(), "box")
	f.must(err)
	f.until("box", paused)
}
