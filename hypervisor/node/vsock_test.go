package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestVsockPathTaken has a second sandbox want the socket of the first.
func TestVsockPathTaken(t *testing.T) {
	f := open(t)
	dir := filepath.Dir(f.config.GuestDir)
	f.config.Limits.Spec.Sockets = []string{dir}
	f.must(f.SetLimits(f.config.Limits))
	path := filepath.Join(dir, "vsock")
	f.start("first", &bulkheadv1.SandboxSpec{VsockPath: path})
	second := &bulkheadv1.CreateSandboxRequest{Name: "second", Spec: &bulkheadv1.SandboxSpec{VsockPath: dir + "/./vsock"}}
	_, err := f.Create(second, "tester")
	f.kindIs(err, fault.Precondition, fault.ReasonVsockPathTaken)
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first one's socket: %v", err)
	}
	f.must(f.Delete(t.Context(), "first", "", true))
	_, err = f.Create(second, "tester")
	f.must(err)
	_, err = f.Start(t.Context(), "second")
	f.must(err)
}

// TestVsockPathAfterLoss kills a worker while the node is away: it leaves its
// socket, which the node removes.
func TestVsockPathAfterLoss(t *testing.T) {
	f := open(t)
	dir := filepath.Dir(f.config.GuestDir)
	f.config.Limits.Spec.Sockets = []string{dir}
	f.must(f.SetLimits(f.config.Limits))
	path := filepath.Join(dir, "vsock")
	f.start("box", &bulkheadv1.SandboxSpec{VsockPath: path})
	worker := f.workerOf("box")
	f.restart(func() { f.must(syscall.Kill(worker.PID, syscall.SIGKILL)) })
	f.until("box", stopped)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
