package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

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
			box, err := c.Create(cmd.Context(), &bulkheadv1.CreateSandboxRequest{Name: o.name, Spec: spec})
			if err != nil {
				return plain(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), box.GetName())
			return err
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
	grace := graceTime(defaultGrace)
	cmd := &cobra.Command{
		Use: "stop SANDBOX...", Short: "Ask sandboxes to end, and wait until they have", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.complete,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.StopSandbox(ctx, &bulkheadv1.StopSandboxRequest{Name: name, GracePeriod: durationpb.New(time.Duration(grace))})
			return err
		}),
	}
	cmd.Flags().VarP(&grace, "time", "t", "how long a command has from SIGTERM to SIGKILL: seconds, or such as 1m30s")
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
			if force && status.Code(err) == codes.NotFound {
				return errNothingToDo
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill those that are running, and don't mind those that aren't there")
	return cmd
}
