package node_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestRunsWhileDiskWorks has a guest not stand still while its worker makes ready for a
// snapshot, nor while that comes to the disk.
func TestRunsWhileDiskWorks(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHeldDisk}})
	inGuest := func(name string) string { return filepath.Join(f.config.RuntimeDir, "box", "guest", name) }
	saved := make(chan error, 1)
	go func() {
		_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "s"}, "tester")
		saved <- err
	}()
	f.exec("box", "true")
	f.must(os.WriteFile(inGuest("prepare"), nil, 0o600))
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(inGuest("publishing")); err == nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("it isn't published")
		}
	}
	if f.frozen("box") {
		t.Error("the guest stands still for the disk")
	}
	f.exec("box", "true")
	f.must(os.WriteFile(inGuest("publish"), nil, 0o600))
	f.must(<-saved)
	_, err := f.GetSnapshot("s")
	f.must(err)
	f.nothingUnderWay()
}

// TestFullDiskAtLast finds no room when the guest has gone on.
func TestFullDiskAtLast(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordLateFull}})
	_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "s"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	_, err = f.GetSnapshot("s")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
	f.exec("box", "true")
	f.nothingUnderWay()
}
