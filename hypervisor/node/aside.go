package node

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// setAside has a member be nobody's to claim that didn't say in time that it stands ready,
// until it does: on a host under load all are late, and none is worse for that. It has as
// long as the worker of a sandbox that is found again.
func (s *sandbox) setAside() {
	s.log.Info("set aside: it is asked again")
	s.usable.Store(nil)
	i := s.instance
	s.start(func(ctx context.Context) func() {
		patient, cancel := context.WithTimeout(ctx, s.node.config.Patience)
		defer cancel()
		machine, err := i.Describe(patient)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return func() { s.answered(machine, err) }
	})
}

// answered is how that went.
func (s *sandbox) answered(machine vmmv1.MachineState, err error) {
	var ended *instance.EndedError
	switch {
	case s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING): // it was told to go meanwhile
		s.stop()
	case errors.Is(err, errNodeClosing), errors.As(err, &ended): // the next node asks; the loop sees the end
	case err != nil:
		s.log.Warn("it doesn't answer", zap.Error(err))
		s.doom("it doesn't answer")
	case machine != vmmv1.MachineState_MACHINE_STATE_PAUSED:
		s.doom("its machine doesn't stand still")
	default:
		s.log.Info("it answers, and is ready again")
		s.usable.Store(s.instance)
	}
	if p := s.node.poolOf(s); p != nil {
		p.wake()
	}
}
