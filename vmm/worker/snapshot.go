package worker

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
	"github.com/bulkhead-vm/bulkhead/vmm/version"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// errEnded ends the saving of a machine that somebody ends.
var errEnded = errors.New("the machine has ended")

// Snapshot implements vmmv1.WorkerService.
func (w *Worker) Snapshot(ctx context.Context, req *vmmv1.SnapshotRequest) (*vmmv1.SnapshotResponse, error) {
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(req.GetPath()) {
		return nil, status.Errorf(codes.InvalidArgument, "path %q of a snapshot is not absolute", req.GetPath())
	}
	// The machine stays as it is until this is over, and is not buried before.
	w.lifecycle.turns.Lock()
	defer w.lifecycle.turns.Unlock()
	if s := w.lifecycle.state(m); s != vmmv1.MachineState_MACHINE_STATE_RUNNING && s != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		return nil, status.Error(codes.FailedPrecondition, "the machine hasn't been started, or has ended")
	}
	ctx, over := w.lifecycle.saving(ctx, m.Done())
	defer over()
	r, err := w.save(ctx, m, req)
	if err != nil {
		return nil, snapshotError(cmp.Or(context.Cause(ctx), err))
	}
	return r, nil
}

// save writes the machine down. The caller holds w.lifecycle.turns.
func (w *Worker) save(ctx context.Context, m *machine.Machine, req *vmmv1.SnapshotRequest) (_ *vmmv1.SnapshotResponse, err error) {
	sys, err := kvm.Open("")
	if err != nil {
		return nil, err
	}
	defer sys.Close()
	out, err := snapshot.Create(req.GetPath())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	if err := out.Prepare(ctx, w.base, req.GetWhole()); err != nil {
		return nil, err
	}
	manifest := snapshot.Manifest{
		Created: time.Now().UTC(), Program: version.Text(), HostProfile: hostprofile.Detect().String(),
		MemoryBytes: m.Memory().Size(), UID: req.GetUid(), Owner: req.GetOwner(),
	}
	var (
		state   *statev1.Machine
		rebased bool
	)
	manifest.Pause, err = w.still(m, func() error {
		return m.Save(sys, func(s *statev1.Machine) error {
			state = s
			if err := out.Memory(ctx, m.Memory()); err != nil {
				return err
			}
			err := w.copyDisks(ctx, out)
			if err != nil {
				return err
			}
			if rebased, err = out.Rebase(m.Memory()); err != nil {
				m.Stop() // its memory is lost
			}
			return err
		})
	})
	if err == nil {
		err = out.Publish(manifest, state)
	}
	if rebased {
		w.rebase(m, out, err)
	}
	if err != nil {
		return nil, err
	}
	return &vmmv1.SnapshotResponse{PauseNs: uint64(manifest.Pause), StoredBytes: out.Stored()}, nil
}

// rebase has the next snapshot be of what is written from now on. The machine's memory
// is mapped from a snapshot, which was published unless err says why not.
func (w *Worker) rebase(m *machine.Machine, out *snapshot.Writer, err error) {
	var next *snapshot.Snapshot
	if err == nil {
		if next, err = out.Open(); err != nil {
			w.config.Log.Warn("the next snapshot will be a whole one", "error", err)
		}
	} else {
		out.Undo(m.Memory())
	}
	w.setBase(next)
}

// setBase remembers which snapshot the machine's memory is from; nil: nobody knows.
// What the machine began as stays open until its end, for others as well.
func (w *Worker) setBase(next *snapshot.Snapshot) {
	if w.base != nil && w.base != w.first {
		if err := w.base.Close(); err != nil {
			w.config.Log.Error("close a snapshot", "error", err)
		}
	}
	w.base = next
}

// still calls do while the machine is paused, and returns how long that took.
func (w *Worker) still(m *machine.Machine, do func() error) (time.Duration, error) {
	start := time.Now()
	if !w.lifecycle.paused.Load() {
		m.Pause()
		defer m.Resume()
	}
	err := do()
	return time.Since(start), err
}

// snapshotError says what is to be done about it.
func snapshotError(err error) error {
	var exists *snapshot.ExistsError
	errno := unix.Errno(0)
	switch {
	case errors.As(err, &exists):
		return status.Error(codes.AlreadyExists, err.Error())
	case errors.Is(err, errEnded):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, errCalledOff):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.As(err, &errno):
		return status.Error(hostCode(errno), err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}
