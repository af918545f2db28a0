package worker

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// save is a snapshot that is being taken: prepared, then written while the machine stands
// still, then published. Between these steps its owner may have others be done, or be gone.
type save struct {
	path     string
	ctx      context.Context // ends with a step's call, with the machine, or when it is called off
	cancel   context.CancelCauseFunc
	out      *snapshot.Writer
	manifest snapshot.Manifest
	state    *statev1.Machine // nil: it isn't written yet
	rebased  bool             // the machine's memory is mapped from it
}

// saving calls do when it is its turn, if there is a machine that can be saved. The machine
// stays as it is until do returns, and is not buried before.
func (w *Worker) saving(path string, do func(*machine.Machine) error) error {
	m, err := w.current()
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return status.Errorf(codes.InvalidArgument, "path %q of a snapshot is not absolute", path)
	}
	w.lifecycle.turns.Lock()
	defer w.lifecycle.turns.Unlock()
	if s := w.lifecycle.state(m); s != vmmv1.MachineState_MACHINE_STATE_RUNNING && s != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		return status.Error(codes.FailedPrecondition, "the machine hasn't been started, or has ended")
	}
	return do(m)
}

// PrepareSnapshot implements vmmv1.WorkerService.
func (w *Worker) PrepareSnapshot(ctx context.Context, req *vmmv1.PrepareSnapshotRequest) (*vmmv1.PrepareSnapshotResponse, error) {
	err := w.saving(req.GetPath(), func(m *machine.Machine) error {
		_, err := w.prepare(ctx, m, req.GetPath(), req.GetWhole())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &vmmv1.PrepareSnapshotResponse{}, nil
}

// prepare begins a snapshot, in place of any that somebody has left.
func (w *Worker) prepare(ctx context.Context, m *machine.Machine, path string, whole bool) (*save, error) {
	w.dropSave(m, errCalledOff)
	if err := w.checkImages(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	out, err := snapshot.Create(path)
	if err != nil {
		return nil, snapshotError(err)
	}
	s := &save{path: path, out: out}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	w.save = s
	return s, w.step(ctx, m, s, func() error { return out.Prepare(s.ctx, w.base, whole) })
}

// PublishSnapshot implements vmmv1.WorkerService.
func (w *Worker) PublishSnapshot(ctx context.Context, req *vmmv1.PublishSnapshotRequest) (*vmmv1.PublishSnapshotResponse, error) {
	err := w.saving(req.GetPath(), func(m *machine.Machine) error {
		s := w.save
		if s == nil || s.path != req.GetPath() || s.state == nil {
			return status.Errorf(codes.FailedPrecondition, "no snapshot to %s is under way: take it anew", req.GetPath())
		}
		if req.GetPauseNs() != 0 {
			s.manifest.Pause = time.Duration(req.GetPauseNs())
		}
		return w.publish(ctx, m, s)
	})
	if err != nil {
		return nil, err
	}
	return &vmmv1.PublishSnapshotResponse{}, nil
}

// publish is the last step.
func (w *Worker) publish(ctx context.Context, m *machine.Machine, s *save) error {
	defer s.cancel(nil)
	return w.step(ctx, m, s, func() error {
		if err := s.out.Publish(s.manifest, s.state); err != nil {
			return err
		}
		w.save = nil
		if s.rebased {
			w.rebase(m, s.out, nil)
		}
		return s.out.Discard()
	})
}

// step does what is next for a snapshot, which is over if it fails.
func (w *Worker) step(ctx context.Context, m *machine.Machine, s *save, do func() error) error {
	over := w.lifecycle.saving(ctx, m.Done(), s.cancel)
	defer over()
	err := do()
	if err == nil {
		return nil
	}
	cause := context.Cause(s.ctx)
	return snapshotError(cmp.Or(cause, errors.Join(err, w.dropSave(m, err))))
}

// dropSave ends a snapshot that nobody goes on with, and removes what there is of it.
// The caller has the turn, or is the machine's end.
func (w *Worker) dropSave(m *machine.Machine, why error) error {
	s := w.save
	if s == nil {
		return nil
	}
	w.save = nil
	s.cancel(why)
	if s.rebased && !errors.Is(why, errEnded) {
		w.rebase(m, s.out, why)
	}
	err := s.out.Discard()
	if err != nil {
		w.config.Log.Error("remove a snapshot that was given up", "error", err)
	}
	return err
}
