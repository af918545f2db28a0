package supervise_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
)

// TestHeldBundlesStay removes the bundle of a worker that lives, frozen or not. It
// stays until the worker, whom the bundle knows, is ended.
func TestHeldBundlesStay(t *testing.T) {
	b, w, root := start(t)
	if err := syscall.Kill(w.Identity().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	again, err := supervise.OpenBundle(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	for owner, b := range map[string]*supervise.Bundle{"who made it": b, "who came later": again} {
		if err := b.Remove(); !errors.Is(err, supervise.ErrHeld) {
			t.Errorf("%s removes it: %v", owner, err)
		}
		if _, err := os.Stat(b.Path("worker.sock")); err != nil {
			t.Error(err)
		}
	}
	if id, known, err := again.Worker(); err != nil || !known || id != w.Identity() {
		t.Errorf("worker %v (%v, %v), want %v", id, known, err, w.Identity())
	}
	if err := again.Kill(); err != nil {
		t.Error(err)
	}
	exited(t, w)
	if _, err := supervise.Attach(t.Context(), again, supervise.Identity{}); !errors.Is(err, supervise.ErrGone) {
		t.Errorf("attach to who is gone: %v", err)
	}
	if err := again.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestUnknownWorker has a bundle whose owner was killed before it had written down
// who the worker is, or while it did.
func TestUnknownWorker(t *testing.T) {
	b, w, _ := start(t)
	for _, text := range []string{"", "12", "12 34"} {
		if err := os.WriteFile(b.Path("worker.id"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, known, err := b.Worker(); known || err != nil {
			t.Errorf("%q: %v, %v", text, id, err)
		}
		if err := b.Kill(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	select {
	case <-w.Exited():
		t.Error("somebody was killed")
	default:
	}
}

// TestReleaseLeavesNoDescriptor lets go of a bundle whose worker goes on.
func TestReleaseLeavesNoDescriptor(t *testing.T) {
	b, w, _ := start(t)
	if err := errors.Join(w.Detach(), b.Release()); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, b.Dir) {
			t.Errorf("%s is open still: %s", fd, to)
		}
	}
}
