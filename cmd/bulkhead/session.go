package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

const (
	// bootTime is the most a guest may take to come up.
	bootTime = 5 * time.Minute
	// termTime is how long a command has from SIGTERM to its end.
	termTime = 2 * time.Second
	// finishTime is how long a guest has to write its disks.
	finishTime = 30 * time.Second
)

var (
	errBootTime  = fmt.Errorf("the guest did not come up within %v: see what it does with --console", bootTime)
	errTimeout   = errors.New("the command ran out of its time")
	errSignalled = errors.New("ended by a signal")
)

// run makes a sandbox, runs the command in it and returns with the exit code.
func (o *runOptions) run(ctx context.Context, args []string) error {
	r := &result{}
	err := o.session(ctx, args, r)
	r.conclude(err)
	if err := r.print(o.json); err != nil {
		return &exitError{exitFailure, err}
	}
	if r.ExitCode == 0 && r.err == nil {
		return nil
	}
	return &exitError{r.ExitCode, r.err}
}

func (o *runOptions) session(ctx context.Context, args []string, r *result) (err error) {
	if len(args) == 0 {
		return errors.New("no command given: bulkhead run [flags] -- COMMAND [ARG...]")
	}
	spec, err := o.spec()
	if err != nil {
		return err
	}
	signals := catchSignals()
	defer signals.release()
	term, err := openTerminal(o)
	if err != nil {
		return err
	}
	console, err := startConsole(o.console)
	if err != nil {
		return err
	}
	defer console.finish()
	spec.Console = console.write

	n, err := node.New(node.Config{Notify: notify})
	if err != nil {
		return err
	}
	box, err := boot(ctx, n, spec, signals)
	if err != nil {
		return err
	}
	console.started()
	defer func() {
		r.collect(box)
		ctx, cancel := context.WithTimeout(context.Background(), finishTime)
		defer cancel()
		err = errors.Join(err, box.Stop(ctx))
	}()
	command := o.command(args)
	command.Console = term.size()
	return runCommand(ctx, box, command, &attachment{
		options: o, signals: signals, terminal: term, result: r,
	})
}

// boot starts the sandbox unless a signal comes first.
func boot(ctx context.Context, n *node.Node, spec node.Spec, signals *signals) (*node.Sandbox, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTime, errBootTime)
	defer cancel()
	ctx, stop := signals.cancelOnFirst(ctx)
	defer stop()
	return n.Start(ctx, spec)
}

// runCommand runs the command with this process's stdio.
func runCommand(ctx context.Context, box *node.Sandbox, c guest.Command, a *attachment) error {
	p, err := box.Exec(ctx, c)
	if err != nil {
		return err
	}
	defer p.Close()
	copied, err := a.connect(p, box.Timings)
	if err != nil {
		return err
	}
	defer a.terminal.restore()
	ended := make(chan ending, 1)
	go func() {
		status, err := box.Wait(ctx, p)
		ended <- ending{status, err}
	}()
	end, err := a.supervise(ctx, p, ended)
	if err != nil {
		return err
	}
	if end.err != nil {
		return end.err
	}
	box.Timings.Mark("command ended")
	copied.wait()
	a.result.finish(end.status)
	return nil
}

// ending is how a command ended.
type ending struct {
	status *agentv1.WaitResponse
	err    error
}

// supervise waits for the command's end while it passes signals on and watches
// the clock.
func (a *attachment) supervise(ctx context.Context, p *guest.Process, ended <-chan ending) (ending, error) {
	var clock <-chan time.Time
	if a.options.timeout > 0 {
		clock = time.After(a.options.timeout)
	}
	interrupts := 0
	for {
		select {
		case e := <-ended:
			return e, nil
		case <-clock:
			return ending{}, a.terminate(ctx, p, ended)
		case <-a.signals.resize:
			if size := a.terminal.size(); size != nil {
				p.Resize(ctx, *size) // a guest that has gone is told of below
			}
		case s := <-a.signals.forward:
			if endsAtSecond(s) {
				interrupts++
			}
			if interrupts > 1 {
				return ending{}, &exitError{exitSignal + int(s), errSignalled}
			}
			p.Signal(ctx, int(s)) // likewise
		}
	}
}

// terminate asks the command to end and gives it a moment.
func (a *attachment) terminate(ctx context.Context, p *guest.Process, ended <-chan ending) error {
	p.Signal(ctx, sigTerm) // if it can't be asked, it is ended anyway
	select {
	case <-ended:
	case <-time.After(termTime):
	}
	return &exitError{exitTimeout, fmt.Errorf("%w: --timeout %v", errTimeout, a.options.timeout)}
}

// notify shows what there is to wait for.
func notify(text string) { fmt.Fprintln(os.Stderr, "bulkhead:", text) }
