// Package instance is one run of a sandbox: a worker process, its machine, and
// the guest in it.
//
//	Launch   ─▶ bundle, worker ─▶ Boot: machine, guest's agent, root file system, command
//	Attach   ─▶ those that are there ─▶ Boot: what is missing
//	HandOver ─▶ likewise, within a process
//
// A guest that goes on from a snapshot has come so far before: Boot makes it another
// one. So it does with one that stands still, for whoever attaches, or has it handed
// over, with another plan than it was launched for.
//
// Each step of Boot is done once, whoever does it: an owner that was killed
// halfway is replaced by another, who goes on.
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Names in a bundle.
const (
	vsockName = "vsock.sock"
	inputName = "input.sock"
	// machineName has what the machine was made of.
	machineName = "machine.json"
)

// stopTime is how long a worker has to give back what it holds.
const stopTime = 5 * time.Second

// Plan is what is to run. Whoever attaches to an instance has the same plan as
// who launched it.
type Plan struct {
	Name    string
	Machine *vmmv1.MachineConfig // the paths of the agent's vsock are added
	Memory  *vmmv1.MemoryOptions // what is behind the machine's
	Setup   *agentv1.SetupRequest
	// Images finds what isn't in Machine and Setup, when it is needed: not for a
	// guest that is up. nil: nothing.
	Images func(context.Context) (Images, error)
	// Identity is who the guest is to be that goes on from a snapshot, without
	// entropy and time. nil: the guest boots.
	Identity *agentv1.RenewRequest
	// Template is whether such a guest's command is still to be started. Others' run
	// already.
	Template bool
	Command  *guest.Command // nil: none
	Log      *vmmv1.LogFile // of the command
	// BootTimeout is the most that a guest may take to come up, or to go on once its
	// machine runs. 0: no limit.
	BootTimeout time.Duration
}

// Host is where instances run.
type Host struct {
	RuntimeDir string // for bundles
	Worker     supervise.Options
}

// Instance is a machine and its guest. Its methods may be called from any
// goroutine.
type Instance struct {
	plan   Plan
	late   bool // it was launched for another plan, or by somebody else
	bundle *supervise.Bundle
	worker *supervise.Worker
	// Timings says when what was over.
	Timings  *Timings
	progress progress // of Boot

	life context.Context // ends with Close or Detach, which is its cause
	let  context.CancelCauseFunc

	watching sync.Once
	ended    chan struct{} // closed when the machine is over and end is set
	end      End

	agent     agents
	following sync.Once
	exited    chan struct{} // closed when the command is over and exit is set
	exit      *guest.Exit
}

// End is how an instance's machine ended.
type End struct {
	*vmmv1.WaitResponse
	// Err is set instead if the worker didn't live to tell.
	Err error
}

func newInstance(p Plan, t *Timings) *Instance {
	i := &Instance{plan: p, Timings: t, ended: make(chan struct{}), exited: make(chan struct{})}
	i.life, i.let = context.WithCancelCause(context.Background())
	i.agent.life = i.life
	return i
}

// Launch starts a worker for the plan. The caller goes on with Boot, and ends
// with Close or Detach; if it fails, nothing is left behind.
func Launch(h Host, p Plan, t *Timings) (*Instance, error) {
	i := newInstance(p, t)
	var err error
	if i.bundle, err = supervise.NewBundle(h.RuntimeDir, p.Name); err != nil {
		return nil, err
	}
	if i.worker, err = supervise.Start(i.bundle, h.Worker); err != nil {
		return nil, errors.Join(err, i.bundle.Remove())
	}
	i.agent.path = i.bundle.Path(vsockName)
	t.Mark("worker started")
	return i, nil
}

// Attach finds the worker that somebody else launched for the plan, which is the
// process who; the zero Identity if that isn't known. It fails with supervise.ErrGone
// if there is none, and with supervise.ErrImpostor if another one answers; with any
// other error there may be one that doesn't answer.
func Attach(ctx context.Context, h Host, p Plan, who supervise.Identity) (*Instance, error) {
	i := newInstance(p, new(Timings))
	i.late = true
	var err error
	i.bundle, err = supervise.OpenBundle(h.RuntimeDir, p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", supervise.ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	if i.worker, err = supervise.Attach(ctx, i.bundle, who); err != nil {
		return nil, err
	}
	i.agent.path = i.bundle.Path(vsockName)
	return i, nil
}

// Worker identifies the worker process.
func (i *Instance) Worker() supervise.Identity { return i.worker.Identity() }

// Describe returns how far the machine is.
func (i *Instance) Describe(ctx context.Context) (vmmv1.MachineState, error) {
	r, err := i.worker.API.Describe(ctx, &vmmv1.DescribeRequest{})
	if err != nil {
		return 0, i.blame(ctx, err)
	}
	return r.GetMachine(), nil
}

// ErrDetached is of calls that Detach ended: the instance itself may go on.
var ErrDetached = errors.New("the sandbox was let go of")

// Detach lets go of the instance, which goes on unless its worker is tied.
func (i *Instance) Detach() error {
	i.let(ErrDetached)
	return errors.Join(i.agent.close(), i.worker.Detach(), i.bundle.Release())
}

// HandOver lets go of the instance, and returns one that goes on with its worker by
// another plan of the same name: as Attach, but that it learns how a worker ends that
// this process started. If it fails the instance is let go of, too.
func (i *Instance) HandOver(p Plan) (*Instance, error) {
	i.let(ErrDetached)
	w, err := i.worker.HandOver()
	if err != nil {
		return nil, errors.Join(err, i.Detach())
	}
	next := newInstance(p, new(Timings))
	next.late, next.bundle, next.worker, next.agent.path = true, i.bundle, w, i.agent.path
	i.agent.close() // what is lost with it was for nobody
	return next, nil
}

// Close ends the instance at once and removes everything that is its own.
func (i *Instance) Close() error {
	defer i.let(errClosed) // last: what waits for the worker gets its answer
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := errors.Join(i.agent.close(), i.worker.Shutdown(ctx))
	i.watching.Do(i.watch) // if nobody did: who comes now hears of the end, too
	select {
	case <-i.ended: // which the worker has told, or is lost with it
	case <-i.life.Done():
	}
	for _, p := range i.plan.Machine.GetVsock().GetPaths() {
		err = errors.Join(err, RemoveAbandoned(p.GetPath()))
	}
	return errors.Join(err, i.bundle.Remove())
}
