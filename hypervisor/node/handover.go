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
// and all that it has on the host are whose record it returns. One that turns out not to
// stand ready is removed.
func (s *sandbox) handOver() (r *storev1.Record, err error) {
	done := make(chan error, 1)
	call := func() {
		r, err = s.letGoOfWorker()
		done <- err
	}
	select {
	case s.calls <- call:
		return r, <-done
	case <-s.gone:
		return nil, errNotReady
	}
}

// handTime is how long a member's worker may take to say that its machine stands still:
// who claims it, and others, wait for that.
const handTime = 500 * time.Millisecond

func (s *sandbox) letGoOfWorker() (*storev1.Record, error) {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED) || s.work != nil || s.instance == nil || s.doomed.Load() {
		return nil, errNotReady
	}
	ctx, cancel := context.WithTimeout(context.Background(), handTime)
	defer cancel()
	if is, err := s.instance.Describe(ctx); err != nil || is != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		s.doom("it doesn't answer, or doesn't stand still")
		return nil, errNotReady
	}
	s.usable.Store(nil)
	if err := s.instance.Detach(); err != nil {
		s.log.Warn("let go of the member", zap.Error(err))
	}
	s.instance, s.handed = nil, true
	return cloneRecord(s.record), nil
}
