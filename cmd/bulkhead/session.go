package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

const (
	// bootTime is the most a guest may take to come up.
	bootTime = 5 * time.Minute
	// finishTime is how long a guest has to write its disks.
	finishTime = 30 * time.Second
	// lastWordsTime is how long output has to arrive when its end is none.
	lastWordsTime = time.Second
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
		if errors.Is(err, errSignalled) { // at once
			err = errors.Join(err, box.Close())
			return
		}
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
	ctx, stop := signals.cancelOnFirst(ctx)
	defer stop()
	return n.Start(ctx, spec)
}

// runCommand runs the command with this process's stdio.
func runCommand(ctx context.Context, box *node.Sandbox, c guest.Command, a *attachment) error {
	clock := a.clock()
	p, err := a.start(ctx, box, c)
	if err != nil {
		return err
	}
	defer p.Close()
	a.result.started = true
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
	end, err := a.supervise(ctx, p, ended, clock)
	if err == nil {
		err = end.err
	}
	if err != nil {
		copied.waitFor(lastWordsTime)
		return err
	}
	box.Timings.Mark("command ended")
	a.result.finish(end.status)
	return a.drain(copied, clock)
}

// start starts the command unless a signal comes first, or its time is up.
func (a *attachment) start(ctx context.Context, box *node.Sandbox, c guest.Command) (*guest.Process, error) {
	ctx, stop := a.signals.cancelOnFirst(ctx)
	defer stop()
	if a.options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.options.timeout, a.timedOut())
		defer cancel()
	}
	p, err := box.Exec(ctx, c)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errTimeout) {
		return nil, cause
	}
	return p, err
}

// notify shows what there is to wait for.
func notify(text string) { fmt.Fprintln(os.Stderr, "bulkhead:", text) }
