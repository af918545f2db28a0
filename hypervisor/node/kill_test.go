package node_test

import (
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestNoGrace has a command be ended at once, and its guest still end by itself.
func TestNoGrace(t *testing.T) {
	f := open(t)
	f.deaf("deaf")
	began := time.Now()
	box, err := f.Stop(t.Context(), "deaf", 0)
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || e.GetExitCode() != 137 || e.GetForced() {
		t.Errorf("exit %v", e)
	}
	if took := time.Since(began); took > node.DefaultGrace*9/10 {
		t.Errorf("no grace took %v", took)
	}
}

// TestKill ends a sandbox at once: no news of its command is waited for.
func TestKill(t *testing.T) {
	f := open(t)
	fastest := func(code int32, args ...string) time.Duration {
		took := time.Hour
		for range 4 {
			box := f.create("", nil, args...)
			_, err := f.Start(t.Context(), box.GetName())
			f.must(err)
			began := time.Now()
			box, err = f.Kill(t.Context(), box.GetName())
			f.must(err)
			took = min(took, time.Since(began))
			if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_KILLED || e.GetExitCode() != code {
				t.Errorf("exit %v", e)
			}
		}
		return took
	}
	without, with := fastest(0), fastest(137, "sleep", "1000")
	if with > without+300*time.Millisecond {
		t.Errorf("the fastest of four took %v, without a command %v", with, without)
	}
}
