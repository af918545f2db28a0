package worker

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// TestSnapshotInSteps saves a guest that runs between the steps: the snapshot is of the
// moment of the second one, and of the pause that whoever asks tells.
func TestSnapshotInSteps(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	w := createWith(t, pageWriter, &vmmv1.MachineConfig{MemoryBytes: 32 << 20})
	start(t, w)
	untilCounted(t, w, 64*30)
	saved(t, w, filepath.Join(dir, "parent"))
	path := filepath.Join(dir, "s")
	done[*vmmv1.PrepareSnapshotResponse](t)(w.PrepareSnapshot(ctx, &vmmv1.PrepareSnapshotRequest{Path: path}))
	untilCounted(t, w, 64*30)
	before := counted(t, w.machine.Memory())
	done[*vmmv1.SnapshotResponse](t)(w.Snapshot(ctx, &vmmv1.SnapshotRequest{Path: path, Unpublished: true}))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is there before it was published: %v", err)
	}
	untilCounted(t, w, 64*30)
	after := counted(t, w.machine.Memory())
	done[*vmmv1.PublishSnapshotResponse](t)(w.PublishSnapshot(ctx, &vmmv1.PublishSnapshotRequest{Path: path, PauseNs: 7e9}))
	m, _, err := snapshot.Read(path)
	if err != nil || m.Layers != 2 || m.Pause != 7*time.Second {
		t.Errorf("%+v, %v", m, err)
	}
	if n := counted(t, restore(t, path).machine.Memory()); n < before || n >= after {
		t.Errorf("it is of %d, and was saved between %d and %d", n, before, after)
	}
	untilCounted(t, w, 64*30)
	if _, m := saved(t, w, filepath.Join(dir, "next")); m.Layers != 3 {
		t.Errorf("the next one has %d layers", m.Layers)
	}
}

// TestSnapshotIsGivenUp has nobody go on with snapshots after each of their steps.
func TestSnapshotIsGivenUp(t *testing.T) {
	ctx := context.Background()
	for name, steps := range map[string]func(*testing.T, *Worker, string){
		"prepared": func(*testing.T, *Worker, string) {},
		"written": func(t *testing.T, w *Worker, path string) {
			done[*vmmv1.SnapshotResponse](t)(w.Snapshot(ctx, &vmmv1.SnapshotRequest{Path: path, Unpublished: true}))
			untilCounted(t, w, 64*30)
		},
	} {
		for what, end := range map[string]func(*testing.T, *Worker){
			"by a resume": func(t *testing.T, w *Worker) { resume(t, w) },
			"by another":  func(t *testing.T, w *Worker) { saved(t, w, filepath.Join(t.TempDir(), "other")) },
			"by the end":  func(_ *testing.T, w *Worker) { w.Close() },
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				dir := t.TempDir()
				w := createWith(t, pageWriter, &vmmv1.MachineConfig{MemoryBytes: 32 << 20})
				start(t, w)
				untilCounted(t, w, 64*30)
				path := filepath.Join(dir, "s")
				done[*vmmv1.PrepareSnapshotResponse](t)(w.PrepareSnapshot(ctx, &vmmv1.PrepareSnapshotRequest{Path: path}))
				steps(t, w, path)
				end(t, w)
				if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
					t.Errorf("left: %v, %v", left, err)
				}
				_, err := w.PublishSnapshot(ctx, &vmmv1.PublishSnapshotRequest{Path: path})
				if status.Code(err) != codes.FailedPrecondition {
					t.Errorf("published after that: %v", err)
				}
				if what != "by the end" {
					untilCounted(t, w, 64*100)
					whole(t, w, filepath.Join(dir, "whole"))
				}
			})
		}
	}
}

// whole compares a machine's memory with what a snapshot of it has.
func whole(t *testing.T, w *Worker, path string) {
	t.Helper()
	pause(t, w)
	saved(t, w, path)
	other := restore(t, path)
	same(t, "after a snapshot that was given up", w.machine.Memory(), other.machine.Memory())
}
