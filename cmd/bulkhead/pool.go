package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const poolLong = `Keep guests that are ready before anybody asks for them. A pool's guests have gone on
from its template, each as a machine of its own, and stand still until somebody claims
them; what is claimed is replaced in the background. Each has its CPUs and memory of the
node from then on, as a sandbox has.

Pools are a daemon's: of the one on this host, unless --host or $BULKHEAD_HOST names
another.`

func newPool(h *hostOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pool", Short: "Keep guests ready for those who come, and claim them", Long: poolLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPoolCreate(h), newPoolLs(h), newPoolInspect(h), newPoolScale(h), newPoolUpdate(h), newPoolRm(h), newPoolClaim(h))
	return cmd
}

// withPools calls do with a client of the daemon. What it fails with is for people.
func (o *hostOptions) withPools(do func(*client.Client) error) error {
	c, err := o.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	return o.ofPools(do(c))
}

// ofPools is plain for errors of calls about pools: who has used Bulkhead without a
// daemon so far hears that pools take one.
func (o *hostOptions) ofPools(err error) error {
	var away *unreachableError
	if err = plain(err); o.host == "" && errors.As(err, &away) {
		away.hint = "pools take a daemon: start bulkheadd on this host, or name a node with --host"
	}
	return err
}

// oneAndCommand is for commands that take a name, and after -- what is to be run.
func oneAndCommand(cmd *cobra.Command, args []string) error {
	n := cmd.ArgsLenAtDash()
	if n < 0 {
		n = len(args)
	}
	if n != 1 {
		return fmt.Errorf("accepts 1 arg(s) before --, received %d", n)
	}
	return nil
}

func newPoolInspect(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "inspect POOL...", Short: "Print all there is to know of pools, as JSON", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.completePools,
		RunE: func(cmd *cobra.Command, names []string) error {
			return h.withPools(func(c *client.Client) error {
				var errs []error
				for _, name := range names {
					r, err := c.Pools.GetPool(cmd.Context(), &bulkheadv1.GetPoolRequest{Name: name})
					if err == nil {
						err = printJSON(cmd.OutOrStdout(), r.GetPool(), true)
					}
					errs = append(errs, h.ofPools(err))
				}
				return errors.Join(errs...)
			})
		},
	}
}

func newPoolRm(h *hostOptions) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm POOL...", Short: "Delete pools and the guests that wait in them; sandboxes that were claimed go on", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.completePools,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			defer notifyLate(fmt.Sprintf("the guests of pool %s are being removed", name))()
			_, err := c.Pools.DeletePool(ctx, &bulkheadv1.DeletePoolRequest{Name: name})
			if force && status.Code(err) == codes.NotFound {
				return errNothingToDo
			}
			return h.ofPools(err)
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't mind those that aren't there")
	return cmd
}
