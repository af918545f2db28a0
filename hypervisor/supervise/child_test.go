package supervise_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// untilReaped waits until nothing is left of a process, not even how it ended.
func untilReaped(t *testing.T, pid int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the worker is there still: %s", stat)
		}
	}
}

func kill(t *testing.T, w *supervise.Worker) {
	t.Helper()
	if err := syscall.Kill(w.Identity().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestReapedAfterDetach lets go of a worker that ends later.
func TestReapedAfterDetach(t *testing.T) {
	_, w, _ := start(t)
	if err := w.Detach(); err != nil {
		t.Fatal(err)
	}
	kill(t, w)
	untilReaped(t, w.Identity().PID)
}

// TestHandOver has a worker be another owner's, who hears how it ends.
func TestHandOver(t *testing.T) {
	_, first, _ := start(t)
	second, err := first.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.API.Describe(t.Context(), &vmmv1.DescribeRequest{}); !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("a call by the first owner: %v", err)
	}
	r, err := second.API.Describe(t.Context(), &vmmv1.DescribeRequest{})
	if err != nil || int(r.GetPid()) != first.Identity().PID || second.Identity() != first.Identity() {
		t.Errorf("%v, %v of %v and %v", r, err, first.Identity(), second.Identity())
	}
	kill(t, second)
	exited(t, second)
	_, err = second.API.Describe(t.Context(), &vmmv1.DescribeRequest{})
	if said := second.Explain(err).Error(); !strings.Contains(said, "signal: killed") || !strings.Contains(said, "somebody killed it") {
		t.Errorf("it ended so: %s", said)
	}
	if err := second.Shutdown(t.Context()); err != nil { // as its owner does in any case
		t.Error(err)
	}
	untilReaped(t, second.Identity().PID)
}

// TestImpostor attaches to a worker that isn't the one that is meant.
func TestImpostor(t *testing.T) {
	b, w, root := start(t)
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
	}()
	found, err := supervise.OpenBundle(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	later, another := w.Identity(), w.Identity()
	later.StartTicks++
	another.PID = other.Process.Pid
	for what, who := range map[string]supervise.Identity{"began later": later, "another": another} {
		if _, err := supervise.Attach(t.Context(), found, who); !errors.Is(err, supervise.ErrImpostor) {
			t.Errorf("%s: %v", what, err)
		}
	}
	again, err := supervise.Attach(t.Context(), found, w.Identity())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Detach(); err != nil {
		t.Error(err)
	}
	// Whose record has nobody believes the bundle.
	if err := os.WriteFile(b.Path("worker.id"), fmt.Appendln(nil, another.PID, another.StartTicks, another.BootID), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := supervise.Attach(t.Context(), found, supervise.Identity{}); !errors.Is(err, supervise.ErrImpostor) {
		t.Errorf("another than the bundle names: %v", err)
	}
}
