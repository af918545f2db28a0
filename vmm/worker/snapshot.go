package worker

import (
	"context"
	"errors"
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
func (w *Worker) Snapshot(ctx context.Context, req *vmmv1.SnapshotRequest) (r *vmmv1.SnapshotResponse, err error) {
	err = w.saving(req.GetPath(), func(m *machine.Machine) error {
		s := w.save
		if s == nil || s.path != req.GetPath() || s.state != nil {
			if s, err = w.prepare(ctx, m, req.GetPath(), req.GetWhole()); err != nil {
				return err
			}
		}
		if err := w.step(ctx, m, s, func() error { return w.write(m, s, req) }); err != nil {
			return err
		}
		r = &vmmv1.SnapshotResponse{PauseNs: uint64(s.manifest.Pause), StoredBytes: s.out.Stored()}
		if req.GetUnpublished() {
			return nil
		}
		return w.publish(ctx, m, s)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// write writes the machine down.
func (w *Worker) write(m *machine.Machine, s *save, req *vmmv1.SnapshotRequest) error {
	sys, err := kvm.Open("")
	if err != nil {
		return err
	}
	defer sys.Close()
	s.manifest = snapshot.Manifest{
		Created: time.Now().UTC(), Program: version.Text(), HostProfile: hostprofile.Detect().String(),
		MemoryBytes: m.Memory().Size(), UID: req.GetUid(), Owner: req.GetOwner(),
	}
	var state *statev1.Machine
	s.manifest.Pause, err = w.still(m, func() error {
		return m.Save(sys, func(saved *statev1.Machine) error {
			state = saved
			if err := s.out.Memory(s.ctx, m.Memory()); err != nil {
				return err
			}
			err := w.copyDisks(s.ctx, s.out)
			if err != nil {
				return err
			}
			w.touched.partial.Store(true)
			if s.rebased, err = s.out.Rebase(m.Memory()); err != nil {
				m.Stop() // its memory is lost
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	s.state = state
	return nil
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
