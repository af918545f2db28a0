package node

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// errNotReady is of a member that can't be claimed.
var errNotReady = errors.New("the member isn't ready")

// handOver has a member let go of its worker, and end; its worker, its share of the node,
// and all that it has on the host are whose record it returns. One that doesn't say soon
// enough that it stands ready is set aside.
func (s *sandbox) handOver(within time.Duration) (r *storev1.Record, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	done := make(chan struct{})
	call := func() {
		defer close(done)
		r, err = s.letGoOfWorker(ctx)
	}
	select {
	case s.calls <- call:
		<-done
		return r, err
	case <-s.gone:
		return nil, errNotReady
	case <-ctx.Done():
		return nil, errNotReady
	}
}

func (s *sandbox) letGoOfWorker(ctx context.Context) (*storev1.Record, error) {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED) || s.work != nil || s.instance == nil || s.doomed.Load() {
		return nil, errNotReady
	}
	if machine, err := s.instance.Describe(ctx); err != nil || machine != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		s.setAside()
		return nil, errNotReady
	}
	s.usable.Store(nil)
	if err := s.instance.Detach(); err != nil {
		s.log.Warn("let go of the member", zap.Error(err))
	}
	s.instance, s.handed = nil, true
	return cloneRecord(s.record), nil
}
