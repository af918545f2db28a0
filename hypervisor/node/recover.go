package node

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// recover takes the sandboxes of the store up again, and removes what is none's.
func (n *Node) recover() error {
	draining, err := n.config.Store.Draining()
	if err != nil {
		return err
	}
	n.draining.Store(draining)
	records, err := n.config.Store.Records()
	if err != nil {
		return err
	}
	members, err := n.config.Store.Members()
	if err != nil {
		return err
	}
	known, hosts := map[string]bool{}, map[string]bool{} // by their names, and those on the host
	for _, r := range records {
		known[r.GetSandbox().GetName()] = true
	}
	for _, r := range slices.Concat(records, members) {
		hosts[hostName(r)] = true
		if state := r.GetSandbox().GetStatus().GetState(); state != bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED &&
			state != bulkheadv1.SandboxState_SANDBOX_STATE_DELETING {
			n.ledger.Take(hostName(r), needs(r.GetSandbox().GetSpec()))
		}
	}
	forks, err := n.findUnfinished(known)
	if err != nil {
		return err
	}
	for _, r := range records {
		setForkRequest(r)
		n.add(r, (*sandbox).recover)
	}
	if err := n.recoverPools(members); err != nil {
		return err
	}
	n.abandon(forks, records)
	n.abandonMakings(records)
	if n.own != nil {
		return nil // what is in the runtime directory may be other nodes'
	}
	return n.removeStrays(hosts)
}

// recover goes on where the sandbox was left.
func (s *sandbox) recover() {
	switch s.state() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING,
		bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
		s.attach()
	case bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
		s.forgetStages()
		s.removeKept()
	default:
		s.forgetStages()
		if err := s.removeRun(); err != nil { // left by a start that wasn't kept
			s.log.Warn("clear away an earlier run", zap.Error(err))
		}
	}
}

// attach finds the sandbox's worker, and goes on with it or without.
func (s *sandbox) attach() {
	record := cloneRecord(s.record)
	work := s.start(func(ctx context.Context) func() {
		i, state, err := s.node.findWorker(ctx, record)
		if err == nil {
			return func() { s.attached(i, state) }
		}
		if errors.Is(err, errNodeClosing) {
			return func() {} // the next node will
		}
		return func() { s.lost(err) }
	})
	work.steady = true
}

// attached goes on with a worker that was found.
func (s *sandbox) attached(i *instance.Instance, machine vmmv1.MachineState) {
	s.record.Worker = worker(i.Worker())
	switch s.state() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING:
		s.log.Info("found again while it is starting")
		s.goOn(i)
	case bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
		s.log.Info("found again while it is being stopped")
		s.instance, s.frozen = i, s.forgetStages() || s.status().GetProblem() != ""
		s.stop()
	default:
		s.instance = i
		if s.pool != "" {
			s.foundReady(machine)
			return
		}
		s.use()
		stages := s.takeStages()
		state := bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING
		if machine == vmmv1.MachineState_MACHINE_STATE_PAUSED && len(stages) == 0 { // or it is for a snapshot
			state = bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
		}
		s.log.Info("found again", zap.Stringer("machine", machine))
		if s.state() != state {
			s.status().State = state
			s.keep("found " + stateText(state))
		}
		s.findFrozen(stages)
	}
}

// goOn is the rest of a start that has its worker.
func (s *sandbox) goOn(i *instance.Instance) {
	if s.timings != nil {
		i.Timings = s.timings
	}
	s.start(func(ctx context.Context) func() { return s.boot(ctx, i) })
}

// lost goes on without a worker, which was lost for a reason.
func (s *sandbox) lost(why error) {
	s.log.Warn("its worker is lost", zap.Error(why))
	s.forgetStages()
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) {
		if s.loseMember(); !s.record.GetDoomed() {
			s.launch()
			return
		}
	}
	exit := &bulkheadv1.SandboxExit{
		Reason: bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST, ExitCode: exitFailure,
		Message: why.Error(), Time: timestamppb.Now(),
	}
	switch reason := s.record.GetStopping(); {
	case reason == bulkheadv1.ExitReason_EXIT_REASON_COMPLETED && s.status().GetExit() != nil:
		exit = s.status().GetExit()
	case reason != 0:
		exit.Reason, exit.ExitCode, exit.Message = reason, exitKilled, ""
	}
	s.finish(exit)
}
