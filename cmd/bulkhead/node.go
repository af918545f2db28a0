package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func newNodeCommand(h *hostOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", Short: "Look at a node, and drain it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNodeInfo(h), newNodeDrain(h), newNodeUndrain(h))
	return cmd
}

func newNodeInfo(h *hostOptions) *cobra.Command {
	o := &output{}
	cmd := &cobra.Command{
		Use: "info", Short: "Print what the node has, and has given", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Node.GetNodeInfo(cmd.Context(), &bulkheadv1.GetNodeInfoRequest{})
			if err != nil {
				return plain(err)
			}
			if o.format == formatJSON {
				return printJSON(cmd.OutOrStdout(), r.GetInfo(), true)
			}
			return showNode(cmd, r.GetInfo())
		},
	}
	o.addFlag(cmd)
	return cmd
}

func showNode(cmd *cobra.Command, n *bulkheadv1.NodeInfo) error {
	state := "ready"
	switch {
	case len(n.GetProblems()) > 0:
		state = "not ready"
	case n.GetDraining():
		state = "draining"
	}
	resources := func(r *bulkheadv1.Resources) string {
		return fmt.Sprintf("%g CPUs, %s", r.GetCpus(), bytesText(r.GetMemoryBytes()))
	}
	rows := [][]string{
		{"State", state},
		{"Version", n.GetVersion()},
		{"Up", ago(n.GetStartTime())},
		{"KVM", n.GetHostProfile()},
		{"Host kernel", n.GetHostKernelRelease()},
		{"Capacity", resources(n.GetCapacity())},
		{"Allocatable", resources(n.GetAllocatable())},
		{"Allocated", resources(n.GetAllocated())},
		{"Sandboxes", fmt.Sprintf("%d, %d of them running", n.GetSandboxes(), n.GetRunning())},
	}
	for _, p := range n.GetProblems() {
		rows = append(rows, []string{"Problem", p})
	}
	return table(cmd.OutOrStdout(), []string{"Node", n.GetName()}, rows)
}

func newNodeDrain(h *hostOptions) *cobra.Command {
	var stop bool
	grace := graceTime(defaultGrace)
	cmd := &cobra.Command{
		Use: "drain", Short: "Have the node take no more sandboxes, and wait until none runs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r := &bulkheadv1.DrainRequest{Mode: bulkheadv1.DrainMode_DRAIN_MODE_FINISH, GracePeriod: durationpb.New(time.Duration(grace))}
			if stop {
				r.Mode = bulkheadv1.DrainMode_DRAIN_MODE_STOP
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "bulkhead: the node takes no more sandboxes; waiting for those that run")
			answer, err := c.Node.Drain(cmd.Context(), r)
			if err != nil {
				return plain(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "drained, %d sandboxes stopped\n", answer.GetStopped())
			return err
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "stop those that run")
	cmd.Flags().VarP(&grace, "time", "t", "how long each command has from SIGTERM to SIGKILL: seconds, or such as 1m30s")
	return cmd
}

func newNodeUndrain(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "undrain", Short: "Have the node take sandboxes again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Node.Undrain(cmd.Context(), &bulkheadv1.UndrainRequest{})
			return plain(err)
		},
	}
}
