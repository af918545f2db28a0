package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// finishTime is how long a guest has to write its disks.
	finishTime = 30 * time.Second
	// lastWordsTime is how long output has to arrive when its end is none.
	lastWordsTime = time.Second
	// orphanTime is how long a sandbox may be idle that lost its client.
	orphanTime = time.Minute
	// killTime is how long a sandbox has to be deleted.
	killTime = 15 * time.Second
)

// session is one sandbox for one command.
type session struct {
	options *runOptions
	result  *result
	signals *signals
	claim   *claim // nil: the sandbox is made and started

	client  *client.Client
	sandbox string
	watch   *watch
}

func (s *session) run(ctx context.Context, args []string) (err error) {
	o := s.options
	if len(args) == 0 {
		return errors.New("no command given: bulkhead run [flags] -- COMMAND [ARG...]")
	}
	if err := o.check(); err != nil {
		return err
	}
	spec, err := o.spec(o.hostOptions)
	if err != nil {
		return err
	}
	return s.with(ctx, spec, args)
}

// with is run for what the flags say, of a sandbox and of what this process is to it.
func (s *session) with(ctx context.Context, spec *bulkheadv1.SandboxSpec, args []string) error {
	s.signals = catchSignals()
	defer s.signals.release()
	end, err := s.connect()
	if err != nil {
		return err
	}
	run := s.attached
	if s.options.detach {
		run = s.detach
	}
	return errors.Join(run(ctx, spec, args), end())
}

// connect finds a node: the daemon that is named, or one within this process.
func (s *session) connect() (end func() error, err error) {
	if s.options.host != "" || s.options.detach || s.claim != nil {
		s.client, err = s.options.connect()
		if err != nil {
			return nil, err
		}
		return s.client.Close, nil
	}
	s.client, end, err = openStandalone()
	return end, err
}

// detach leaves the command to the daemon.
func (s *session) detach(ctx context.Context, spec *bulkheadv1.SandboxSpec, args []string) error {
	spec.AutoDelete = s.options.remove
	if len(args) > 0 {
		spec.Command = s.options.command(args)
	}
	ctx, stop := s.signals.cancelOnFirst(ctx)
	defer stop()
	if err := s.create(ctx, spec); err != nil {
		return err
	}
	defer s.watch.stop()
	if err := s.start(ctx); err != nil {
		return err
	}
	if _, err := fmt.Println(s.sandbox); err != nil {
		return err
	}
	s.result.EndReason = endDetached
	return nil
}

// attached stays for the command. The sandbox goes with it, or a while after a
// client that was killed.
func (s *session) attached(ctx context.Context, spec *bulkheadv1.SandboxSpec, args []string) (err error) {
	spec.AutoDelete = true
	if spec.IdleTimeout == nil {
		spec.IdleTimeout = durationpb.New(orphanTime)
	}
	boot, stop := s.signals.cancelOnFirst(ctx)
	defer stop()
	if err := s.create(boot, spec); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove(err, spec)) }()
	console := startConsole(ctx, s.client, s.sandbox, s.options.console)
	defer console.finish()
	if err := s.start(boot); err != nil {
		return err
	}
	stop()
	defer s.result.collect(s.client, s.sandbox)
	a := &attachment{session: s, terminal: openTerminal(s.options.tty)}
	return a.run(ctx, s.options.command(args))
}

func (s *session) create(ctx context.Context, spec *bulkheadv1.SandboxSpec) error {
	if s.claim != nil {
		return s.take(ctx, spec)
	}
	// The ID keeps two such commands of one name from sharing a sandbox.
	box, err := s.client.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: s.options.name, Spec: spec, RequestId: rand.Text()})
	if err != nil {
		return orCause(ctx, err)
	}
	s.sandbox = box.GetName()
	s.result.Name = s.sandbox
	s.watch = startWatch(s.client, s.sandbox, box.GetResourceVersion())
	return nil
}

func (s *session) start(ctx context.Context) error {
	if s.claim != nil {
		return nil // it runs
	}
	r, err := s.client.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: s.sandbox})
	if err != nil {
		return s.explain(ctx, err)
	}
	if id := r.GetSandbox().GetStatus().GetOrigin().GetTemplate(); id != "" && !spec.NamesTemplate(r.GetSandbox().GetSpec()) {
		notify("restored from template " + shortID(id))
	}
	s.result.phases(r.GetSandbox())
	return nil
}

// explain finds the reason behind an error: this process's own, or the sandbox's
// end.
func (s *session) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if reason := reasonOf(err); reason == fault.ReasonEnded || reason == fault.ReasonStartFailed {
		if s.watch == nil {
			return plain(err)
		}
		if exit := s.watch.exit(); exit != nil {
			return &endedError{exit, err}
		}
	}
	return plain(err)
}

// remove ends the sandbox: if a disk keeps what the guest wrote, the guest is asked
// to finish first, unless somebody is in a hurry. That it didn't is an error.
func (s *session) remove(err error, spec *bulkheadv1.SandboxSpec) error {
	defer s.watch.stop()
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	var stopped error
	if keepsWrites(spec) && !errors.Is(err, errSignalled) {
		r, err := s.client.StopSandbox(ctx, &bulkheadv1.StopSandboxRequest{Name: s.sandbox, GracePeriod: durationpb.New(time.Second)})
		stopped = unlessGone(err)
		if r.GetSandbox().GetStatus().GetExit().GetForced() {
			stopped = errors.New("the guest did not finish writing its disks")
		}
	}
	ctx, cancel = context.WithTimeout(context.Background(), killTime)
	defer cancel()
	_, deleted := s.client.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: s.sandbox, Force: true})
	return errors.Join(stopped, unlessGone(deleted))
}

func keepsWrites(spec *bulkheadv1.SandboxSpec) bool {
	for _, d := range spec.GetDisks() {
		if !d.GetReadOnly() && !d.GetOverlay() {
			return true
		}
	}
	return false
}
