package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// templateLsOptions are the flags of template ls.
type templateLsOptions struct {
	output
	quiet    bool
	selector string
}

func newTemplateLs(h *templateHost) *cobra.Command {
	o := &templateLsOptions{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List templates", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return h.with(func(c *client.Client) error { return o.run(cmd, c) })
		},
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "only IDs")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "only with these `LABELS`, such as app=web,tier!=db")
	return cmd
}

func (o *templateLsOptions) run(cmd *cobra.Command, c *client.Client) error {
	var rows [][]string
	err := listTemplates(cmd.Context(), c, &bulkheadv1.ListTemplatesRequest{LabelSelector: o.selector}, func(t *bulkheadv1.Template) error {
		switch {
		case o.quiet:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), shortID(t.GetId()))
			return err
		case o.format == formatJSON:
			return printJSON(cmd.OutOrStdout(), t, false)
		}
		rows = append(rows, templateRow(t))
		return nil
	})
	if err != nil || o.quiet || o.format == formatJSON {
		return err
	}
	return table(cmd.OutOrStdout(), []string{"TEMPLATE", "STATUS", "CREATED", "CPUS", "MEMORY", "STORED", "ROOT FS", "PREPARED BY"}, rows)
}

func templateRow(t *bulkheadv1.Template) []string {
	id, s := shortID(t.GetId()), t.GetSpec()
	if s == nil {
		return []string{id, "damaged", "-", "-", "-", "-", "-", "-"}
	}
	state := "ready"
	if t.GetProblem() != "" {
		state = "unusable" // inspect says why
	}
	bytes := t.GetStoredBytes()
	for _, d := range t.GetDevices() {
		bytes += d.GetStoredBytes()
	}
	return []string{
		id, state, ago(t.GetCreateTime()), fmt.Sprint(s.GetCpus()), bytesText(s.GetMemoryBytes()), bytesText(bytes),
		cmp.Or(s.GetRootFs().GetPath(), "-"), cmp.Or(clipped(strings.Join(t.GetPrepare().GetArgs(), " ")), "-"),
	}
}

// listTemplates calls do for each template, page by page.
func listTemplates(ctx context.Context, c *client.Client, r *bulkheadv1.ListTemplatesRequest, do func(*bulkheadv1.Template) error) error {
	for {
		page, err := c.Templates.ListTemplates(ctx, r)
		if err != nil {
			return plain(err)
		}
		for _, t := range page.GetTemplates() {
			if err := do(t); err != nil {
				return err
			}
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return nil
		}
	}
}
