package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
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
	known := map[string]bool{}
	for _, r := range records {
		known[r.GetSandbox().GetName()] = true
		if state := r.GetSandbox().GetStatus().GetState(); state != bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED &&
			state != bulkheadv1.SandboxState_SANDBOX_STATE_DELETING {
			n.ledger.Take(r.GetSandbox().GetName(), needs(r.GetSandbox().GetSpec()))
		}
		n.add(r, (*sandbox).recover)
	}
	if n.own != nil {
		return nil // what is in the runtime directory may be other nodes'
	}
	return n.removeStrays(known)
}

// recover goes on where the sandbox was left.
func (s *sandbox) recover() {
	switch s.state() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING,
		bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
		s.attach()
	case bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
		s.removeKept()
	default:
		if err := s.removeRun(); err != nil { // left by a start that wasn't kept
			s.log.Warn("clear away an earlier run", zap.Error(err))
		}
	}
}

// attach finds the sandbox's worker, and goes on with it or without.
func (s *sandbox) attach() {
	record := cloneRecord(s.record)
	work := s.start(func(ctx context.Context) func() {
		i, state, err := s.node.attachTo(ctx, record)
		if err == nil {
			return func() { s.attached(i, state) }
		}
		if ctx.Err() != nil {
			return func() {} // the next node will
		}
		lost := err
		if w := record.GetWorker(); w != nil {
			if err := supervise.Kill(identity(w)); err != nil { // one that doesn't answer
				s.log.Error("end a worker that doesn't answer", zap.Error(err))
			}
		}
		return func() { s.lost(lost) }
	})
	work.steady = true
}

// attachTo attaches to the worker of a sandbox and asks how far it is.
func (n *Node) attachTo(ctx context.Context, r *storev1.Record) (*instance.Instance, vmmv1.MachineState, error) {
	plan, err := n.planUnless(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	i, err := instance.Attach(ctx, n.host(r), plan)
	if err != nil {
		return nil, 0, err
	}
	state, err := i.Describe(ctx)
	if err != nil {
		return nil, 0, errors.Join(err, i.Detach())
	}
	return i, state, nil
}

// attached goes on with a worker that was found.
func (s *sandbox) attached(i *instance.Instance, machine vmmv1.MachineState) {
	s.record.Worker = worker(i.Worker())
	switch s.state() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING:
		s.log.Info("found again while it is starting")
		s.start(func(ctx context.Context) func() { return s.boot(ctx, i) })
	case bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
		s.log.Info("found again while it is being stopped")
		s.instance = i
		s.stop()
	default:
		s.instance = i
		s.use()
		state := bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING
		if machine == vmmv1.MachineState_MACHINE_STATE_PAUSED {
			state = bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
		}
		s.log.Info("found again", zap.Stringer("machine", machine))
		if s.state() != state {
			s.status().State = state
			s.keep("found " + stateText(state))
		}
	}
}

// lost goes on without a worker.
func (s *sandbox) lost(err error) {
	s.log.Warn("its worker is gone", zap.Error(err))
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) {
		if err := s.removeRun(); err != nil {
			s.log.Warn("clear away what was begun", zap.Error(err))
		}
		s.launch()
		return
	}
	exit := &bulkheadv1.SandboxExit{
		Reason: bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST, ExitCode: exitFailure,
		Message: "its worker was gone when the node came back", Time: timestamppb.Now(),
	}
	switch reason := s.record.GetStopping(); {
	case reason == bulkheadv1.ExitReason_EXIT_REASON_COMPLETED && s.status().GetExit() != nil:
		exit = s.status().GetExit()
	case reason != 0:
		exit.Reason, exit.ExitCode, exit.Message = reason, exitKilled, ""
	}
	s.finish(exit)
}

// removeStrays removes what belongs to no sandbox: workers and their bundles,
// taps, cgroups and files.
func (n *Node) removeStrays(known map[string]bool) error {
	bundles, err := supervise.Bundles(n.config.RuntimeDir)
	if err != nil {
		return err
	}
	for _, name := range bundles {
		if !known[name] {
			n.stray("worker", name, n.endStray(name))
		}
	}
	kept, err := os.ReadDir(filepath.Join(n.config.StateDir, keptName))
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range kept {
		if !known[e.Name()] {
			n.stray("directory", e.Name(), os.RemoveAll(n.kept(e.Name())))
		}
	}
	return n.removeStraysOfHost(known)
}

func (n *Node) removeStraysOfHost(known map[string]bool) error {
	if n.config.Taps != nil {
		taps, err := n.config.Taps.Names()
		if err != nil {
			return err
		}
		for name, all := range taps {
			for _, tap := range all {
				if !known[name] {
					n.stray("tap "+tap, name, n.config.Taps.Remove(tap))
				}
			}
		}
	}
	if n.config.Cgroups != nil {
		names, err := n.config.Cgroups.Names()
		if err != nil {
			return err
		}
		for _, name := range names {
			if !known[name] {
				n.stray("cgroup", name, n.config.Cgroups.Remove(name))
			}
		}
	}
	return nil
}

// strayTime is how long a worker that is no sandbox's has to end.
const strayTime = 10 * time.Second

// endStray ends a worker that is no sandbox's, if it lives, and removes its
// bundle.
func (n *Node) endStray(name string) error {
	b, err := supervise.OpenBundle(n.config.RuntimeDir, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), strayTime)
	defer cancel()
	if w, err := supervise.Attach(ctx, b); err == nil {
		if err := w.Shutdown(ctx); err != nil {
			return err
		}
	}
	return b.Remove()
}

// stray reports that something was removed.
func (n *Node) stray(what, name string, err error) {
	if err != nil {
		n.config.Log.Error("remove what belongs to no sandbox", zap.String("what", what), zap.String("sandbox", name), zap.Error(err))
		return
	}
	n.config.Log.Info("removed what belongs to no sandbox", zap.String("what", what), zap.String("sandbox", name))
}
