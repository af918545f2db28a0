package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// poolLsOptions are the flags of pool ls.
type poolLsOptions struct {
	output
	quiet    bool
	selector string
}

func newPoolLs(h *hostOptions) *cobra.Command {
	o := &poolLsOptions{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List pools", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return h.withPools(func(c *client.Client) error { return o.run(cmd, c) })
		},
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "only names")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "only with these `LABELS`, such as app=web,tier!=db")
	return cmd
}

func (o *poolLsOptions) run(cmd *cobra.Command, c *client.Client) error {
	var rows [][]string
	err := listPools(cmd.Context(), c, &bulkheadv1.ListPoolsRequest{LabelSelector: o.selector}, func(p *bulkheadv1.Pool) error {
		switch {
		case o.quiet:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), p.GetName())
			return err
		case o.format == formatJSON:
			return printJSON(cmd.OutOrStdout(), p, false)
		}
		rows = append(rows, poolRow(p))
		return nil
	})
	if err != nil || o.quiet || o.format == formatJSON {
		return err
	}
	return table(cmd.OutOrStdout(), []string{"NAME", "TEMPLATE", "SIZE", "READY", "STARTING", "AGE", "PROBLEM"}, rows)
}

func poolRow(p *bulkheadv1.Pool) []string {
	age := "-"
	if t := p.GetCreateTime(); t != nil {
		age = lengthOfTime(time.Since(t.AsTime()))
	}
	s := p.GetStatus()
	return []string{
		p.GetName(), shortID(p.GetTemplate()), fmt.Sprint(p.GetSize()), fmt.Sprint(s.GetReady()), fmt.Sprint(s.GetStarting()), age, cmp.Or(clipped(s.GetProblem()), "-"),
	}
}

// listPools calls do for each pool, page by page.
func listPools(ctx context.Context, c *client.Client, r *bulkheadv1.ListPoolsRequest, do func(*bulkheadv1.Pool) error) error {
	for {
		page, err := c.Pools.ListPools(ctx, r)
		if err != nil {
			return err
		}
		for _, p := range page.GetPools() {
			if err := do(p); err != nil {
				return err
			}
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return nil
		}
	}
}
