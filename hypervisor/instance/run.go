package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Watch begins to look after the machine's end, for Ended. Boot does so, too.
func (i *Instance) Watch() { i.watching.Do(func() { go i.watch() }) }

func (i *Instance) watch() {
	r, err := i.worker.API.Wait(i.life, &vmmv1.WaitRequest{})
	if i.life.Err() != nil {
		return // nobody wants to know any more
	}
	if err != nil {
		i.end.Err = i.worker.Explain(err)
	}
	i.end.WaitResponse = r
	close(i.ended)
}

// Ended is closed when the machine has ended.
func (i *Instance) Ended() <-chan struct{} { return i.ended }

// End says how the machine ended. It waits for that.
func (i *Instance) End() End {
	<-i.ended
	return i.end
}

var errEnded = errors.New("the machine ended")

// whileRunning returns a context that also ends with the machine, and with the
// instance.
func (i *Instance) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-i.ended:
			cancel(errEnded)
		case <-i.life.Done():
			cancel(context.Cause(i.life))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// With calls do with the guest's agent, and a context that also ends with the
// machine. Its error says what was behind do's.
func (i *Instance) With(ctx context.Context, do func(context.Context, *guest.Agent) error) error {
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	agent, err := i.agent.get(ctx)
	if err == nil {
		err = do(ctx, agent)
	}
	if err != nil {
		return i.blame(ctx, err)
	}
	return nil
}

// Exec runs a command in the guest. The caller closes the process, which ends
// it.
func (i *Instance) Exec(ctx context.Context, c guest.Command) (p *guest.Process, err error) {
	err = i.With(ctx, func(ctx context.Context, a *guest.Agent) (err error) {
		p, err = a.Start(ctx, c)
		return err
	})
	return p, err
}

// Wait waits for a process's end, or the machine's.
func (i *Instance) Wait(ctx context.Context, p *guest.Process) (exit *guest.Exit, err error) {
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	exit, err = p.Wait(ctx)
	if err != nil {
		return nil, i.blame(ctx, err)
	}
	return exit, nil
}

// Follow begins to look after the command's end, for Exited. There must be one.
func (i *Instance) Follow() { i.following.Do(func() { go i.follow() }) }

// followAgain is after how long a lost connection to the agent is made again.
const followAgain = time.Second

func (i *Instance) follow() {
	ctx, cancel := i.whileRunning(i.life)
	defer cancel()
	for ctx.Err() == nil {
		agent, err := i.agent.get(ctx)
		if err == nil {
			if i.exit, err = agent.Main().Wait(ctx); err == nil {
				close(i.exited)
				return
			}
		}
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
		}
	}
}

// Exited is closed when the command has ended.
func (i *Instance) Exited() <-chan struct{} { return i.exited }

// AwaitExit waits for the command's end, all the same whether its machine is there
// still. There must be one.
func (i *Instance) AwaitExit(ctx context.Context) (*guest.Exit, error) {
	i.Follow()
	ctx, cancel := i.whileRunning(ctx)
	defer cancel()
	select {
	case <-i.exited:
		return i.exit, nil
	case <-ctx.Done():
	}
	select { // the machine's end often follows the command's
	case <-i.exited:
		return i.exit, nil
	default:
		return nil, i.blame(ctx, context.Cause(ctx))
	}
}

// Exit says how the command ended. It waits for that.
func (i *Instance) Exit() *guest.Exit {
	<-i.exited
	return i.exit
}

// Stats asks the worker what the machine has used.
func (i *Instance) Stats(ctx context.Context) (*vmmv1.StatsResponse, error) {
	r, err := i.worker.API.Stats(ctx, &vmmv1.StatsRequest{})
	if err != nil {
		return nil, i.blame(ctx, err)
	}
	return r, nil
}

// Pause takes the machine's processors out of the guest.
func (i *Instance) Pause(ctx context.Context) error {
	if _, err := i.worker.API.Pause(ctx, &vmmv1.PauseRequest{}); err != nil {
		return i.blame(ctx, err)
	}
	return nil
}

// Resume undoes Pause.
func (i *Instance) Resume(ctx context.Context) error {
	if _, err := i.worker.API.Resume(ctx, &vmmv1.ResumeRequest{}); err != nil {
		return i.blame(ctx, err)
	}
	return nil
}

// PowerOff has the guest end its processes, each of which has grace from SIGTERM
// to SIGKILL, write its disks and turn itself off; and waits for that.
func (i *Instance) PowerOff(ctx context.Context, grace time.Duration) error {
	err := i.powerOff(ctx, grace)
	select {
	case <-i.ended:
		return nil
	default:
	}
	if err != nil {
		return fmt.Errorf("the guest did not turn itself off: %w", err)
	}
	select {
	case <-i.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the guest did not turn itself off: %w", context.Cause(ctx))
	}
}

func (i *Instance) powerOff(ctx context.Context, grace time.Duration) error {
	agent, err := i.agent.get(ctx)
	if err != nil {
		return err
	}
	_, err = agent.PowerOff(ctx, &agentv1.PowerOffRequest{GraceNs: uint64(grace)})
	switch {
	case errors.Is(err, ttrpc.ErrClosed):
		return nil // it was faster than its answer
	case status.Code(err) == codes.FailedPrecondition:
		return nil // it was asked before, by an owner that is gone
	}
	return plain(err)
}
