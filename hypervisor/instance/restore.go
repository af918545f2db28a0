package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

const (
	// askSoon and askLater are how long after an attempt to reach the agent of a
	// guest that was restored there is another one: the first time, and at most.
	askSoon  = 5 * time.Millisecond
	askLater = 250 * time.Millisecond
)

// restore is boot for a guest that goes on from a snapshot: all that booting leads
// to is there, but the guest still takes itself for the one that was saved; or, if its
// machine stands still, for the one that it was until then.
func (i *Instance) restore(ctx context.Context) (release string, err error) {
	i.progress.within(readTime, notRead)
	before, err := i.run(ctx)
	if err != nil {
		return "", &RestoreError{err}
	}
	i.progress.within(i.plan.BootTimeout, notOn)
	if before == vmmv1.MachineState_MACHINE_STATE_PAUSED {
		i.Timings.Mark("machine resumed")
	} else {
		i.Timings.Mark("machine restored")
	}
	i.Watch()
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	agent, err := i.renew(ctx)
	if err != nil {
		return "", &RestoreError{err}
	}
	if release, err = i.setUp(ctx, agent); err != nil {
		return "", &RestoreError{fmt.Errorf("look at the guest: %w", plain(err))}
	}
	switch {
	case i.plan.Command == nil:
		return release, nil
	case i.plan.Template:
		return release, i.startCommand(ctx, agent)
	}
	i.progress.at("its command's output was being recorded")
	if err := i.record(ctx); err != nil {
		return "", err
	}
	i.Timings.Mark("command recorded")
	return release, nil
}

// RestoreError says why a guest couldn't go on from what it was to go on from. Nothing
// has been run in it.
type RestoreError struct{ Err error }

func (e *RestoreError) Error() string { return e.Err.Error() }

func (e *RestoreError) Unwrap() error { return e.Err }

// renew makes the guest the one that the plan says. A guest that hears only now that
// its connections are gone may take a new one for one of them.
func (i *Instance) renew(ctx context.Context) (*guest.Agent, error) {
	for wait := askSoon; ; wait = min(2*wait, askLater) {
		i.progress.at("its agent was being reached")
		agent, err := i.reach(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for the guest to go on: %w", err)
		}
		reached := i.Timings.now()
		i.progress.at("it was being given its identity")
		_, err = agent.Renew(ctx, i.renewal())
		if err == nil {
			_, err = i.worker.API.ConnectNetworks(ctx, &vmmv1.ConnectNetworksRequest{})
			if err != nil {
				return nil, fmt.Errorf("connect the guest's networks: %w", plain(err))
			}
			i.Timings.Add(&vmmv1.Step{Name: "agent ready", AtNs: reached})
			i.Timings.Mark("identity renewed")
			return agent, nil
		}
		if !errors.Is(err, ttrpc.ErrClosed) && !agent.Closed() {
			return nil, fmt.Errorf("give the guest its identity: %w", plain(err))
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// reach connects to an agent that doesn't announce itself: it has done so before it
// was saved.
func (i *Instance) reach(ctx context.Context) (*guest.Agent, error) {
	patience := askAgain
	for wait := askSoon; ; wait = min(2*wait, askLater) {
		agent, err := within(ctx, patience, i.ask)
		if err == nil {
			return agent, i.agent.set(agent)
		}
		if errors.Is(err, context.DeadlineExceeded) { // on some hosts guests are slow
			patience *= 2
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// pause waits, or fails with ctx's cause.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
