package server_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestGracePeriodOfZero is no time for the command, which isn't the same as not to
// say.
func TestGracePeriodOfZero(t *testing.T) {
	f := serve(t)
	ready := filepath.Join(f.config.StateDir, "ready")
	f.start("deaf", &bulkheadv1.Command{Args: []string{"sh", "-c", "trap '' TERM; touch " + ready + "; while :; do sleep 1; done"}})
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("the command doesn't begin")
		}
	}
	began := time.Now()
	r, err := f.StopSandbox(t.Context(), &bulkheadv1.StopSandboxRequest{Name: "deaf", GracePeriod: durationpb.New(0)})
	f.must(err)
	if took := time.Since(began); took > node.DefaultGrace*9/10 {
		t.Errorf("no grace took %v", took)
	}
	if e := r.GetSandbox().GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || e.GetForced() {
		t.Errorf("exit %v", e)
	}
}
