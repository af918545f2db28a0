package main

import (
	"github.com/spf13/cobra"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// attachOptions are the flags of attach.
type attachOptions struct {
	*hostOptions
	logs, noStdin bool
	detachKeys    string
}

func newAttach(h *hostOptions) *cobra.Command {
	o := &attachOptions{hostOptions: h}
	cmd := &cobra.Command{
		Use: "attach SANDBOX", Short: "Connect to a sandbox's own command", Args: cobra.ExactArgs(1),
		ValidArgsFunction: h.completeFirst, Annotations: map[string]string{runsCommand: ""},
		RunE: o.run,
	}
	cmd.Flags().BoolVar(&o.logs, "logs", false, "what it has written so far comes first")
	cmd.Flags().BoolVar(&o.noStdin, "no-stdin", false, "only look: leave its standard input alone, and signals to this process")
	cmd.Flags().StringVar(&o.detachKeys, "detach-keys", "ctrl-p,ctrl-q", "`KEYS` that leave a command with a terminal, one after the other; empty for none")
	return cmd
}

func (o *attachOptions) run(cmd *cobra.Command, args []string) error {
	keys, err := parseKeys(o.detachKeys)
	if err != nil {
		return err
	}
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	box, err := c.GetSandbox(cmd.Context(), &bulkheadv1.GetSandboxRequest{Name: args[0]})
	if err != nil {
		return plain(err)
	}
	command := box.GetSandbox().GetSpec().GetCommand()
	tty := command.GetTerminal() != nil
	a := newAttachment(c, args[0], !o.noStdin && (command.GetStdin() || tty), tty && !o.noStdin)
	defer a.signals.release()
	a.looks = o.noStdin || tty // a terminal's keys make the command's signals
	a.keys = keys
	return exitWith(a.result, a.attach(cmd.Context(), o.logs))
}
