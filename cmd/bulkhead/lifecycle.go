package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// each returns what calls do for each sandbox that is named, and prints the names
// of those for which it succeeded.
func each(h *hostOptions, do func(context.Context, *client.Client, string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, names []string) error {
		c, err := h.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		var errs []error
		for _, name := range names {
			if err := do(cmd.Context(), c, name); err != nil {
				errs = append(errs, plain(err))
				continue
			}
			fmt.Fprintln(cmd.OutOrStdout(), name)
		}
		return errors.Join(errs...)
	}
}

func newCreate(h *hostOptions) *cobra.Command {
	o := &specOptions{}
	var remove bool
	cmd := &cobra.Command{
		Use:   "create [flags] [-- COMMAND [ARG...]]",
		Short: "Make a sandbox on a daemon, for start; without a command it is one to exec in",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := o.spec(h)
			if err != nil {
				return err
			}
			spec.AutoDelete = remove
			if len(args) > 0 {
				spec.Command = o.command(args)
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.CreateSandbox(cmd.Context(), &bulkheadv1.CreateSandboxRequest{Name: o.name, Spec: spec})
			if err != nil {
				return plain(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), r.GetSandbox().GetName())
			return nil
		},
	}
	cmd.Flags().SetInterspersed(false)
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&remove, "rm", false, "delete the sandbox when it has stopped")
	return cmd
}

func newStart(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "start SANDBOX...", Short: "Start sandboxes, and wait until they are ready", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name})
			return err
		}),
	}
}

func newStop(h *hostOptions) *cobra.Command {
	var grace time.Duration
	cmd := &cobra.Command{
		Use: "stop SANDBOX...", Short: "Ask sandboxes to end, and wait until they have", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.StopSandbox(ctx, &bulkheadv1.StopSandboxRequest{Name: name, GracePeriod: durationpb.New(grace)})
			return err
		}),
	}
	cmd.Flags().DurationVarP(&grace, "time", "t", 10*time.Second, "how long a command has from SIGTERM to SIGKILL")
	return cmd
}

func newKill(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "kill SANDBOX...", Short: "End sandboxes at once, without asking their guests", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.KillSandbox(ctx, &bulkheadv1.KillSandboxRequest{Name: name})
			return err
		}),
	}
}

func newPause(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "pause SANDBOX...", Short: "Pause sandboxes: take their processors away", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.PauseSandbox(ctx, &bulkheadv1.PauseSandboxRequest{Name: name})
			return err
		}),
	}
}

func newResume(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "resume SANDBOX...", Aliases: []string{"unpause"}, Short: "Resume sandboxes that are paused", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.ResumeSandbox(ctx, &bulkheadv1.ResumeSandboxRequest{Name: name})
			return err
		}),
	}
}

func newRm(h *hostOptions) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm SANDBOX...", Short: "Delete sandboxes and all that is kept of them", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name, Force: force})
			return err
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill those that are running")
	return cmd
}
