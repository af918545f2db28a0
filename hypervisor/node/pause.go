package node

import (
	"context"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Pause takes a running sandbox's processors away.
func (n *Node) Pause(ctx context.Context, name string) (*bulkheadv1.Sandbox, error) {
	return n.command(ctx, name, func(s *sandbox) error {
		return s.turn(bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED)
	}, func(*sandbox) (bool, error) { return now() })
}

// Resume undoes Pause.
func (n *Node) Resume(ctx context.Context, name string) (*bulkheadv1.Sandbox, error) {
	return n.command(ctx, name, func(s *sandbox) error {
		return s.turn(bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING)
	}, func(*sandbox) (bool, error) { return now() })
}

// now is for who waits for nothing.
func now() (bool, error) { return true, nil }

const (
	// turnTime is how long a worker may take to pause or resume its machine.
	turnTime = 10 * time.Second
	// lookTime is how long it may take to say which of them it has done.
	lookTime = 2 * time.Second
)

// turn pauses or resumes a sandbox. It is done as a whole, also if nobody waits
// for it any more: the record says what the machine does.
func (s *sandbox) turn(from, to bulkheadv1.SandboxState) error {
	if s.state() == to {
		return nil
	}
	if s.state() != from {
		return s.wrongState("only one that is " + stateText(from) + " can be " + stateText(to))
	}
	if s.instance == nil || s.work != nil {
		return s.busy()
	}
	ctx, cancel := context.WithTimeout(context.Background(), turnTime)
	defer cancel()
	do, machine := s.instance.Pause, vmmv1.MachineState_MACHINE_STATE_PAUSED
	if to == bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
		do, machine = s.instance.Resume, vmmv1.MachineState_MACHINE_STATE_RUNNING
	}
	if err := do(ctx); err != nil && !s.machineIs(machine) {
		return err
	}
	s.status().State = to
	s.keep(stateText(to))
	return nil
}

// machineIs asks the worker, where it isn't known whether it did what it was
// told to.
func (s *sandbox) machineIs(state vmmv1.MachineState) bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	is, err := s.instance.Describe(ctx)
	return err == nil && is == state
}
