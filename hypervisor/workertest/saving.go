package workertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// PrepareSnapshot implements vmmv1.WorkerService.
func (w *worker) PrepareSnapshot(context.Context, *vmmv1.PrepareSnapshotRequest) (*vmmv1.PrepareSnapshotResponse, error) {
	w.mu.Lock()
	c := w.config
	w.mu.Unlock()
	switch {
	case w.has(c, WordOld):
		return nil, status.Error(codes.Unimplemented, "this worker is old")
	case w.has(c, WordHeldDisk):
		w.untilThere("prepare")
	}
	return &vmmv1.PrepareSnapshotResponse{}, nil
}

// PublishSnapshot implements vmmv1.WorkerService.
func (w *worker) PublishSnapshot(_ context.Context, r *vmmv1.PublishSnapshotRequest) (*vmmv1.PublishSnapshotResponse, error) {
	w.mu.Lock()
	c, work := w.config, w.unpublished
	w.mu.Unlock()
	switch {
	case w.has(c, WordLateFull):
		return nil, refuse(errors.Join(&os.PathError{Op: "sync", Path: work, Err: syscall.ENOSPC}, os.RemoveAll(work)))
	case w.has(c, WordHeldDisk):
		if err := os.WriteFile(filepath.Join(w.guestDir(), "publishing"), nil, 0o600); err != nil {
			return nil, refuse(err)
		}
		w.untilThere("publish")
	}
	if err := publish(work, r.GetPath()); err != nil {
		return nil, refuse(err)
	}
	return &vmmv1.PublishSnapshotResponse{}, nil
}

// untilThere waits for a file in the guest's directory.
func (w *worker) untilThere(name string) {
	for {
		if _, err := os.Stat(filepath.Join(w.guestDir(), name)); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func publish(work, path string) error {
	return unix.Renameat2(unix.AT_FDCWD, work, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
}
