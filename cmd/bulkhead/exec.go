package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// execOptions are the flags of exec.
type execOptions struct {
	*hostOptions
	env              []string
	workdir, user    string
	interactive, tty bool
}

func newExec(h *hostOptions) *cobra.Command {
	o := &execOptions{hostOptions: h}
	cmd := &cobra.Command{
		Use: "exec [flags] SANDBOX [--] COMMAND [ARG...]", Short: "Run a command in a running sandbox", Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: h.completeFirst, Annotations: map[string]string{runsCommand: ""},
		RunE: func(cmd *cobra.Command, args []string) error {
			command := args[1:]
			if command[0] == "--" {
				command = command[1:]
			}
			return o.run(cmd.Context(), args[0], command)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&o.env, "env", "e", nil, "set an environment variable, `NAME=VALUE`, or NAME to pass one on; repeatable")
	f.StringVarP(&o.workdir, "workdir", "w", "", "working `DIRECTORY` in the guest")
	f.StringVarP(&o.user, "user", "u", "", "user to run as, `USER[:GROUP]`, by name or number (default: root)")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "connect standard input")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	return cmd
}

func (o *execOptions) run(ctx context.Context, sandbox string, args []string) error {
	if err := checkTerminal(o.interactive, o.tty); err != nil {
		return err
	}
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	a := newAttachment(c, sandbox, o.interactive, o.tty)
	defer a.signals.release()
	return exitWith(a.result, a.run(ctx, &bulkheadv1.Command{
		Args: args, Env: environment(o.env), WorkingDir: o.workdir, User: o.user, Stdin: o.interactive, Terminal: a.terminal.size(),
	}))
}

// newAttachment ties a command of a sandbox that is there already to this process.
func newAttachment(c *client.Client, sandbox string, interactive, tty bool) *attachment {
	return &attachment{
		session: &session{
			options: &runOptions{specOptions: specOptions{interactive: interactive}},
			result:  &result{}, signals: catchSignals(), client: c, sandbox: sandbox,
		},
		terminal: openTerminal(tty),
	}
}

// exitWith ends the program as the command ended.
func exitWith(r *result, err error) error {
	r.conclude(err)
	if r.ExitCode == 0 && r.err == nil {
		return nil
	}
	return &exitError{r.ExitCode, r.err}
}
