package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func newPoolScale(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "scale POOL N", Short: "Change how many guests a pool keeps ready", Args: cobra.ExactArgs(2), ValidArgsFunction: h.completePool,
		RunE: func(cmd *cobra.Command, args []string) error {
			size, err := strconv.ParseUint(args[1], 10, 32)
			if err != nil {
				return fmt.Errorf("%q is no number of guests: give one such as 5, or 0 for none", args[1])
			}
			return updatePool(cmd, h, &bulkheadv1.UpdatePoolRequest{Name: args[0], Size: proto.Uint32(uint32(size))})
		},
	}
}

const poolUpdateLong = `Change a pool. Guests that are too many, or of another template than it is to have, are
removed in the background, and others take their place; sandboxes that were claimed go
on.`

func newPoolUpdate(h *hostOptions) *cobra.Command {
	r, size := &bulkheadv1.UpdatePoolRequest{}, uint32(0)
	cmd := &cobra.Command{
		Use: "update POOL", Short: "Change a pool's template, or how many guests it keeps ready", Long: poolUpdateLong, Args: cobra.ExactArgs(1), ValidArgsFunction: h.completePool,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			if cmd.Flags().Changed("size") {
				r.Size = &size
			}
			if r.Size == nil && r.Template == "" {
				return errors.New("nothing to change is given: give --template or --size")
			}
			return updatePool(cmd, h, r)
		},
	}
	cmd.Flags().StringVar(&r.Template, "template", "", "have its guests go on from the node's template with this `ID`")
	cmd.Flags().Uint32Var(&size, "size", 0, "`NUMBER` of guests to keep ready")
	return cmd
}

func updatePool(cmd *cobra.Command, h *hostOptions, r *bulkheadv1.UpdatePoolRequest) error {
	return h.withPools(func(c *client.Client) error {
		p, err := c.Pools.UpdatePool(cmd.Context(), r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), p.GetPool().GetName())
		return err
	})
}
