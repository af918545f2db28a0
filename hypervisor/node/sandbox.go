package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Sandbox is a machine whose guest is ready to run processes.
type Sandbox struct {
	Name string
	// Timings says when what was over.
	Timings *Timings

	plan      plan
	vsockPath string // the user's, empty if none
	bundle    *supervise.Bundle
	worker    *supervise.Worker
	listener  *guest.Listener
	agent     *guest.Agent

	ended chan struct{} // closed when the machine is over and end is set
	end   End
}

// End is how a sandbox's machine ended.
type End struct {
	*vmmv1.WaitResponse
	// Err is set instead if the worker didn't live to tell.
	Err error
}

// stopTime is how long a worker has to give back what it holds.
const stopTime = 5 * time.Second

// Start makes a sandbox and returns once its guest is ready. The caller closes
// it. When ctx is done before, it fails with ctx's cause; whatever the failure,
// nothing is left behind.
func (n *Node) Start(ctx context.Context, spec Spec) (*Sandbox, error) {
	if spec.Name == "" {
		spec.Name = newName()
	}
	s := &Sandbox{Name: spec.Name, Timings: new(Timings), ended: make(chan struct{})}
	if err := s.boot(ctx, n, spec); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newName() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (s *Sandbox) boot(ctx context.Context, n *Node, spec Spec) (err error) {
	s.Timings.Mark("start")
	if s.bundle, err = supervise.NewBundle(n.config.RuntimeDir, spec.Name); err != nil {
		return err
	}
	vsock := s.bundle.Path(vsockName)
	if s.plan, err = n.planUnless(ctx, spec, vsock); err != nil {
		return err
	}
	s.Timings.Mark("images ready")
	if s.listener, err = guest.Listen(vsock); err != nil {
		return err
	}
	s.worker, err = supervise.Start(s.bundle, supervise.Options{
		Path: n.config.WorkerPath, Tied: spec.Tied, Console: spec.Console,
	})
	if err != nil {
		return err
	}
	s.Timings.Mark("worker started")
	if spec.BootTimeout > 0 {
		var cancel context.CancelFunc
		late := fmt.Errorf("the guest did not come up within %v: see what it does with --console", spec.BootTimeout)
		ctx, cancel = context.WithTimeoutCause(ctx, spec.BootTimeout, late)
		defer cancel()
	}
	if err := s.launch(ctx, spec); err != nil {
		return s.blame(ctx, err)
	}
	return nil
}

// launch starts the machine and waits for its guest.
func (s *Sandbox) launch(ctx context.Context, spec Spec) (err error) {
	if _, err := s.worker.API.Create(ctx, &vmmv1.CreateRequest{Machine: s.plan.machine}); err != nil {
		return err
	}
	s.vsockPath = spec.VsockPath
	if _, err := s.worker.API.Start(ctx, &vmmv1.StartRequest{}); err != nil {
		return err
	}
	go s.watch()
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	if s.agent, err = s.listener.Accept(ctx); err != nil {
		return fmt.Errorf("wait for the guest to come up: %w", err)
	}
	// Nobody accepts from here on: what else the guest connects to it would
	// only take memory of the host's.
	err, s.listener = s.listener.Close(), nil
	if err != nil {
		return err
	}
	s.Timings.Mark("agent ready")
	if _, err := s.agent.Setup(ctx, s.plan.setup); err != nil {
		return fmt.Errorf("set up the guest: %w", plain(err))
	}
	s.Timings.Mark("root file system mounted")
	return nil
}

// watch records the machine's end.
func (s *Sandbox) watch() {
	r, err := s.worker.API.Wait(context.Background(), &vmmv1.WaitRequest{})
	if err != nil {
		s.end.Err = s.worker.Explain(err)
	}
	s.end.WaitResponse = r
	close(s.ended)
}

// whileRunning returns a context that also ends with the machine.
func (s *Sandbox) whileRunning(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.ended:
			cancel(errEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

var errEnded = errors.New("the machine ended")

// End says how the machine ended. It waits for that.
func (s *Sandbox) End() End {
	<-s.ended
	return s.end
}

// Exec runs a command in the guest.
func (s *Sandbox) Exec(ctx context.Context, c guest.Command) (*guest.Process, error) {
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	p, err := s.agent.Start(ctx, c)
	if err != nil {
		return nil, s.blame(ctx, err)
	}
	s.Timings.Mark("command started")
	return p, nil
}

// Wait waits for a process's end, or the machine's.
func (s *Sandbox) Wait(ctx context.Context, p *guest.Process) (*agentv1.WaitResponse, error) {
	ctx, cancel := s.whileRunning(ctx)
	defer cancel()
	r, err := p.Wait(ctx)
	if err != nil {
		return nil, s.blame(ctx, err)
	}
	return r, nil
}

// Stats asks the worker what the machine has used.
func (s *Sandbox) Stats(ctx context.Context) (*vmmv1.StatsResponse, error) {
	return s.worker.API.Stats(ctx, &vmmv1.StatsRequest{})
}

// Stop ends the sandbox: if a disk keeps what the guest wrote, the guest is
// asked to finish first, until ctx is done. That it didn't is an error.
func (s *Sandbox) Stop(ctx context.Context) error {
	if !s.plan.writable {
		return s.Close()
	}
	return errors.Join(s.finish(ctx), s.Close())
}

// finish has the guest write its disks and turn itself off.
func (s *Sandbox) finish(ctx context.Context) error {
	select {
	case <-s.ended:
		return nil // it can't any more, and whoever waited has heard of it
	default:
	}
	_, err := s.agent.PowerOff(ctx, &agentv1.PowerOffRequest{GraceNs: uint64(time.Second)})
	if err != nil {
		return fmt.Errorf("the guest did not finish writing its disks: %w", plain(err))
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the guest did not finish writing its disks: %w", ctx.Err())
	}
}

// Close ends the sandbox at once and removes everything that is its own.
func (s *Sandbox) Close() error {
	var errs []error
	if s.agent != nil {
		errs = append(errs, s.agent.Close())
	}
	if s.listener != nil {
		errs = append(errs, s.listener.Close())
	}
	if s.worker != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		errs = append(errs, s.worker.Shutdown(ctx))
	}
	if s.vsockPath != "" { // a worker that was killed leaves it
		if err := os.Remove(s.vsockPath); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if s.bundle != nil {
		errs = append(errs, s.bundle.Remove())
	}
	return errors.Join(errs...)
}
