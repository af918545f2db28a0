package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// runOptions are the flags of run.
type runOptions struct {
	*hostOptions
	specOptions

	detach  bool
	remove  bool
	timeout time.Duration
	console bool
	json    string
}

const runExample = `  # A shell in a kernel of its own
  bulkhead run -it -- sh

  # A program from a root file system, with two CPUs and a time limit
  bulkhead run --rootfs ./debian --cpus 2 --memory 512M --timeout 1m -- python3 script.py

  # Through a pipe
  tar c . | bulkhead run -i -- sha256sum

  # On a daemon, which goes on with it
  bulkhead run -d --name clock -- sh -c "while sleep 1; do date; done"`

func newRun(h *hostOptions) *cobra.Command {
	o := &runOptions{hostOptions: h}
	cmd := &cobra.Command{
		Use:     "run [flags] -- COMMAND [ARG...]",
		Short:   "Run a command in a microVM of its own",
		Long:    runLong,
		Example: runExample,

		Annotations: map[string]string{runsCommand: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // flags after the command are the command's
	o.specOptions.addFlags(cmd)
	o.addSessionFlags(cmd)
	return cmd
}

// addSessionFlags adds those that say how this process and the command go together.
func (o *runOptions) addSessionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.detach, "detach", "d", false, "print the sandbox's name and leave it to the daemon")
	f.BoolVar(&o.remove, "rm", false, "with --detach, delete the sandbox when it has stopped; without, it always is")
	f.DurationVar(&o.timeout, "timeout", 0, "end the command after this long, such as 90s (exit code 124)")
	f.BoolVar(&o.console, "console", false, "show the guest's console on standard error")
	f.StringVar(&o.json, "json", "", "print a result object as the last line of standard output, or write it to `FILE` with --json=FILE")
	f.Lookup("json").NoOptDefVal = jsonToStdout
}

const runLong = `Run a command in a microVM of its own: a Linux kernel that nothing else on
this machine shares. Without --host and --detach no daemon is needed, and the
microVM ends with this command.

The root file system is mounted read-only; what the command writes goes to
memory and is gone when it ends, except on disks given with --disk.

Exit codes: the command's own, 128+n if signal n ended it, 124 if --timeout
did, 125 if Bulkhead failed, 126 if the command can't be executed, 127 if there
is no such command. The first Ctrl-C goes to the command; a second one ends it.`

// run runs the command in a sandbox made for it, and returns with its exit code.
func (o *runOptions) run(ctx context.Context, args []string) error {
	return o.conclude(func(r *result) error {
		s := &session{options: o, result: r}
		return s.run(ctx, args)
	})
}

// conclude prints what comes of a session, and returns with its exit code.
func (o *runOptions) conclude(session func(*result) error) error {
	r := &result{began: time.Now()}
	r.conclude(session(r))
	if err := r.print(o.json); err != nil {
		return &exitError{exitFailure, err}
	}
	if r.ExitCode == 0 && r.err == nil {
		return nil
	}
	return &exitError{r.ExitCode, r.err}
}

// check says what is wrong with the flags beside the sandbox's.
func (o *runOptions) check() error {
	switch {
	case o.timeout < 0:
		return fmt.Errorf("--timeout %v is in the past: give a time such as 90s, or none", o.timeout)
	case o.detach && o.timeout != 0:
		return fmt.Errorf("--timeout: nobody is here to end the command; give --ttl")
	case o.detach:
		return nil
	case o.restart != "" && o.restart != "no":
		return fmt.Errorf("--restart: the sandbox goes with this command; give --detach")
	}
	return checkTerminal(o.interactive, o.tty)
}
