package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// psOptions are the flags of ps.
type psOptions struct {
	output
	all, quiet bool
	selector   string
}

func newPs(h *hostOptions) *cobra.Command {
	o := &psOptions{}
	cmd := &cobra.Command{
		Use: "ps", Aliases: []string{"ls"}, Short: "List sandboxes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, h) },
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also those that don't run")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "only names")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "only with these `LABELS`, such as app=web,tier!=db")
	return cmd
}

func (o *psOptions) run(cmd *cobra.Command, h *hostOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := h.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	request := &bulkheadv1.ListSandboxesRequest{LabelSelector: o.selector}
	if !o.all {
		request.States = running
	}
	var rows [][]string
	err = list(cmd.Context(), c, request, func(s *bulkheadv1.Sandbox) error {
		switch {
		case o.quiet:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), s.GetName())
			return err
		case o.format == formatJSON:
			return printJSON(cmd.OutOrStdout(), s, false)
		}
		rows = append(rows, []string{
			s.GetName(), statusText(s), ago(s.GetCreateTime()), fmt.Sprint(s.GetSpec().GetCpus()), bytesText(s.GetSpec().GetMemoryBytes()), commandText(s),
		})
		return nil
	})
	if err != nil || o.quiet || o.format == formatJSON {
		return err
	}
	return table(cmd.OutOrStdout(), []string{"NAME", "STATUS", "CREATED", "CPUS", "MEMORY", "COMMAND"}, rows)
}

// running are the states of sandboxes that take something of the node.
var running = []bulkheadv1.SandboxState{
	bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED,
	bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING, bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF,
}

// list calls do for each sandbox, page by page.
func list(ctx context.Context, c *client.Client, r *bulkheadv1.ListSandboxesRequest, do func(*bulkheadv1.Sandbox) error) error {
	for {
		page, err := c.ListSandboxes(ctx, r)
		if err != nil {
			return plain(err)
		}
		for _, s := range page.GetSandboxes() {
			if err := do(s); err != nil {
				return err
			}
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return nil
		}
	}
}

// statusText is a sandbox's state with what matters of it.
func statusText(s *bulkheadv1.Sandbox) string {
	status := s.GetStatus()
	text := words(status.GetState().String(), "SANDBOX_STATE_")
	switch status.GetState() {
	case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING, bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED:
		if t := status.GetReadyTime(); t != nil {
			text += " for " + lengthOfTime(time.Since(t.AsTime()))
		}
		if status.GetProblem() != "" {
			text += " (problem)"
		}
	case bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED, bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF:
		e := status.GetExit()
		text += fmt.Sprintf(" (%d, %s) %s", e.GetExitCode(), words(e.GetReason().String(), "EXIT_REASON_"), ago(e.GetTime()))
	}
	return text
}

// maxCommand is how much of a command fits a column.
const maxCommand = 40

func commandText(s *bulkheadv1.Sandbox) string {
	return clipped(strings.Join(s.GetSpec().GetCommand().GetArgs(), " "))
}

// clipped is as much of a command as fits.
func clipped(text string) string {
	if r := []rune(text); len(r) > maxCommand {
		return string(r[:maxCommand-1]) + "…"
	}
	return text
}

func newInspect(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "inspect SANDBOX", Short: "Print all there is to know of a sandbox, as JSON", Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.GetSandbox(cmd.Context(), &bulkheadv1.GetSandboxRequest{Name: args[0]})
			if err != nil {
				return plain(err)
			}
			return printJSON(cmd.OutOrStdout(), r.GetSandbox(), true)
		},
	}
}
