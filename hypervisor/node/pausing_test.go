package node_test

import (
	"context"
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
	f.untilThere(inGuest("publishing"))
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

// TestNodeEndsBesideSaving has a node end while a worker is at what the guest doesn't stand
// still for: the next one finds it running, and leaves nothing of the snapshot.
func TestNodeEndsBesideSaving(t *testing.T) {
	for _, before := range []string{"prepare", "publish"} {
		t.Run(before, func(t *testing.T) {
			f := open(t)
			f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHeldDisk}}, "sleep", "1000")
			guest := filepath.Join(f.config.RuntimeDir, "box", "guest")
			go f.Snapshot(context.Background(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "lost"}, "tester")
			if before == "publish" {
				f.must(os.WriteFile(filepath.Join(guest, "prepare"), nil, 0o600))
				f.untilThere(filepath.Join(guest, "publishing"))
			}
			f.restart(nil)
			f.must(os.WriteFile(filepath.Join(guest, "prepare"), nil, 0o600))
			f.must(os.WriteFile(filepath.Join(guest, "publish"), nil, 0o600))
			f.settled("box")
			f.nothingUnderWay()
			f.exec("box", "true")
			f.save("box", "next")
		})
	}
}

// untilThere waits for a file.
func (f *fixture) untilThere(path string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("there is no %s", path)
		}
	}
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
