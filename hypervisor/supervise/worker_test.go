package supervise_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

func TestMain(m *testing.M) {
	workertest.Main()
	os.Exit(m.Run())
}

func start(t *testing.T) (*supervise.Bundle, *supervise.Worker, string) {
	t.Helper()
	root, err := os.MkdirTemp("", "sup") // sockets have little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	b, err := supervise.NewBundle(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	w, err := supervise.Start(b, supervise.Options{Path: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		supervise.Kill(w.Identity())
		b.Remove()
	})
	return b, w, root
}

func exited(t *testing.T, w *supervise.Worker) {
	t.Helper()
	select {
	case <-w.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("the worker is still there")
	}
}

func TestAttach(t *testing.T) {
	_, first, root := start(t)
	b, err := supervise.OpenBundle(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	second, err := supervise.Attach(t.Context(), b, supervise.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if first.Identity() != second.Identity() || first.Identity().StartTicks == 0 {
		t.Errorf("one worker is %+v and %+v", first.Identity(), second.Identity())
	}
	if err := first.Detach(); err != nil {
		t.Error(err)
	}
	if _, err := second.API.Describe(t.Context(), &vmmv1.DescribeRequest{}); err != nil {
		t.Errorf("after the first owner let go: %v", err)
	}
	if err := second.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	exited(t, second)
	if _, err := supervise.Attach(t.Context(), b, supervise.Identity{}); err == nil {
		t.Error("a worker that is gone was found")
	}
}

func TestNobodyToAttachTo(t *testing.T) {
	if _, err := supervise.OpenBundle(t.TempDir(), "box"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no bundle: %v", err)
	}
}

// TestKill ends a worker by its identity, and nobody else by a number that was
// its own.
func TestKill(t *testing.T) {
	_, w, _ := start(t)
	for what, id := range map[string]supervise.Identity{
		"began at another time": {PID: w.Identity().PID, StartTicks: w.Identity().StartTicks + 1, BootID: w.Identity().BootID},
		"of another boot":       {PID: w.Identity().PID, StartTicks: w.Identity().StartTicks, BootID: "another"},
		"nobody":                {PID: 1 << 22, StartTicks: 1, BootID: w.Identity().BootID},
	} {
		if err := supervise.Kill(id); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	select {
	case <-w.Exited():
		t.Fatal("the wrong one was killed")
	case <-time.After(50 * time.Millisecond):
	}
	if err := supervise.Kill(w.Identity()); err != nil {
		t.Error(err)
	}
	exited(t, w)
	_, err := w.API.Describe(t.Context(), &vmmv1.DescribeRequest{})
	if !errors.Is(err, ttrpc.ErrClosed) {
		t.Errorf("a call to who is gone: %v", err)
	}
	t.Log(w.Explain(err))
}

// TestHangs has a worker that doesn't answer be ended all the same.
func TestHangs(t *testing.T) {
	_, w, root := start(t)
	if err := syscall.Kill(w.Identity().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b, err := supervise.OpenBundle(root, "box")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := supervise.Attach(ctx, b, supervise.Identity{}); err == nil {
		t.Error("a worker that hangs answered")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	exited(t, w)
}
