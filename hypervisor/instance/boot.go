package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// askAgain is how long an agent may take to answer an owner that came late, and
// then to announce itself, before it is asked again.
const askAgain = 2 * time.Second

// Boot does what is missing until the guest is ready and its command started. It
// returns the guest kernel's release. When ctx is done before, it fails with
// ctx's cause; the instance stays as it is. What can't be gone on from is a
// *RestoreError. There is one call at a time.
func (i *Instance) Boot(ctx context.Context) (release string, err error) {
	ctx, over := i.progress.begin(ctx)
	defer over()
	release, err = i.boot(ctx)
	var restoring *RestoreError
	switch {
	case errors.As(err, &restoring):
		return "", &RestoreError{i.blame(ctx, restoring.Err)}
	case err != nil:
		return "", i.blame(ctx, err)
	}
	return release, nil
}

func (i *Instance) boot(ctx context.Context) (release string, err error) {
	if i.plan.Identity != nil {
		return i.restore(ctx)
	}
	i.progress.within(i.plan.BootTimeout, notUp)
	listener, err := guest.Listen(i.agent.path)
	if err != nil {
		return "", err
	}
	if _, err := i.run(ctx); err != nil {
		return "", errors.Join(err, listener.Close())
	}
	i.Watch()
	i.progress.at("it was booting")
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	agent, err := i.await(ctx, listener)
	// Nobody accepts from here on: what else the guest connects to it would
	// only take memory of the host's.
	if closed := listener.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return "", fmt.Errorf("wait for the guest to come up: %w", err)
	}
	i.Timings.Mark("agent ready")
	if release, err = i.setUp(ctx, agent); err != nil {
		return "", fmt.Errorf("set up the guest: %w", plain(err))
	}
	i.Timings.Mark("root file system mounted")
	return release, i.startCommand(ctx, agent)
}

// run makes the machine and lets it run, as far as that wasn't done, also one that
// stands still. It returns what the machine did before.
func (i *Instance) run(ctx context.Context) (before vmmv1.MachineState, err error) {
	d, err := i.worker.API.Describe(ctx, &vmmv1.DescribeRequest{})
	if err != nil {
		return 0, err
	}
	before = d.GetMachine()
	state := before
	if state == vmmv1.MachineState_MACHINE_STATE_NONE {
		m, err := i.machine(ctx)
		if err != nil {
			return before, err
		}
		if err := i.keepMachine(m.GetMachine()); err != nil {
			return before, err
		}
		i.progress.at("its machine was being made")
		m.Start = true
		switch _, err := i.worker.API.Create(ctx, m); {
		case err == nil && !i.late: // a worker that was found may be of a version that doesn't start it
			return before, nil
		case err != nil && status.Code(err) != codes.AlreadyExists: // one that is being made for an owner that is gone is the same
			return before, err
		}
		state = vmmv1.MachineState_MACHINE_STATE_CREATED
	}
	switch state {
	case vmmv1.MachineState_MACHINE_STATE_CREATED:
		_, err = i.worker.API.Start(ctx, &vmmv1.StartRequest{})
	case vmmv1.MachineState_MACHINE_STATE_PAUSED:
		_, err = i.worker.API.Resume(ctx, &vmmv1.ResumeRequest{})
	}
	return before, err
}

// await waits until the agent says that it is ready. One that has said so to an
// earlier owner doesn't again: it is called now and then.
func (i *Instance) await(ctx context.Context, listener *guest.Listener) (*guest.Agent, error) {
	if !i.late {
		agent, err := listener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		return agent, i.agent.set(agent)
	}
	for {
		for _, try := range []func(context.Context) (*guest.Agent, error){i.ask, listener.Accept} {
			agent, err := within(ctx, askAgain, try)
			switch {
			case err == nil:
				return agent, i.agent.set(agent)
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errSilent):
				return nil, err
			}
		}
	}
}

func within(ctx context.Context, d time.Duration, try func(context.Context) (*guest.Agent, error)) (*guest.Agent, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return try(ctx)
}

var errSilent = errors.New("the agent doesn't answer yet")

// ask calls an agent that may not be there.
func (i *Instance) ask(ctx context.Context) (*guest.Agent, error) {
	agent, err := guest.Connect(ctx, i.agent.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSilent, err)
	}
	return agent, nil
}

// setUp gives the guest its root file system, unless it has it.
func (i *Instance) setUp(ctx context.Context, agent *guest.Agent) (release string, err error) {
	i.progress.at("it was being set up")
	health, err := agent.Health(ctx, &agentv1.HealthRequest{})
	if err != nil {
		return "", err
	}
	if health.GetSetup() == agentv1.SetupState_SETUP_STATE_READY {
		return health.GetKernelRelease(), nil
	}
	setup, err := i.setup(ctx)
	if err != nil {
		return "", err
	}
	r, err := agent.Setup(ctx, setup)
	return r.GetKernelRelease(), err
}

// startCommand starts the plan's command, unless it was started.
func (i *Instance) startCommand(ctx context.Context, agent *guest.Agent) error {
	c := i.plan.Command
	if c == nil {
		return nil
	}
	i.progress.at("its command was being started")
	if err := i.record(ctx); err != nil {
		return err
	}
	if err := agent.StartMain(ctx, *c); err != nil {
		return err
	}
	i.Timings.Mark("command started")
	return nil
}

// record has the worker write down what the command says, unless it does.
func (i *Instance) record(ctx context.Context) error {
	_, err := i.worker.API.Record(ctx, guest.Recording(*i.plan.Command, i.plan.Log, i.bundle.Path(inputName)))
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("record the command's output: %w", plain(err))
	}
	return nil
}
