package node

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// errNotReady is of a member that can't be claimed.
var errNotReady = errors.New("the member isn't ready")

// handedOver is what there is of a member that was handed over. Its share of the node,
// and all that it has on the host, are whose record that is; its instance is to be gone
// on with, or let go of.
type handedOver struct {
	record   *storev1.Record
	instance *instance.Instance
}

// detach is for a member that nobody goes on with here: the next node does.
func (m handedOver) detach(log *zap.Logger) {
	if err := m.instance.Detach(); err != nil {
		log.Warn("let go of the member", zap.Error(err))
	}
}

// handOver has a member end, whose worker goes on. One that doesn't say soon enough that
// it stands ready is set aside.
func (s *sandbox) handOver(within time.Duration) (m handedOver, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	done := make(chan struct{})
	call := func() {
		defer close(done)
		m, err = s.letGoOfWorker(ctx)
	}
	select {
	case s.calls <- call:
		<-done
		return m, err
	case <-s.gone:
		return m, errNotReady
	case <-ctx.Done():
		return m, errNotReady
	}
}

func (s *sandbox) letGoOfWorker(ctx context.Context) (m handedOver, err error) {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED) || s.work != nil || s.instance == nil || s.doomed.Load() {
		return m, errNotReady
	}
	if machine, err := s.instance.Describe(ctx); err != nil || machine != vmmv1.MachineState_MACHINE_STATE_PAUSED {
		s.setAside()
		return m, errNotReady
	}
	s.usable.Store(nil)
	m = handedOver{cloneRecord(s.record), s.instance}
	s.instance, s.handed = nil, true
	return m, nil
}

// takeOver goes on with the machine of the member that the sandbox was until now.
func (s *sandbox) takeOver(member *instance.Instance) {
	i, err := member.HandOver(s.node.describe(s.record))
	if err != nil {
		s.log.Warn("its worker is looked for", zap.Error(err))
		s.attach()
		return
	}
	s.goOn(i)
}

// stayMember goes on as the member that it was until now.
func (s *sandbox) stayMember(i *instance.Instance) {
	s.instance = i
	s.foundReady(vmmv1.MachineState_MACHINE_STATE_PAUSED)
}
