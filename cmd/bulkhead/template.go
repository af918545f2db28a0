package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const templateLong = `Make guests that have booted, for sandboxes to begin as them in place of booting.
What run and create ask for begins as a template of the same machine by itself; as
one in which a command was run, with --template.

Without --host, $BULKHEAD_HOST and --daemon they are this user's, for "bulkhead
run" without a daemon, in ~/.cache/bulkhead/templates: below $BULKHEAD_CACHE, or
where $BULKHEAD_TEMPLATES says. With one of them they are the node's.`

// templateHost says whose templates a command is for.
type templateHost struct {
	*hostOptions
	daemon bool
}

func newTemplate(h *hostOptions) *cobra.Command {
	o := &templateHost{hostOptions: h}
	cmd := &cobra.Command{
		Use: "template", Short: "Make guests that have booted, for sandboxes to begin as, and look after them", Long: templateLong, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().BoolVar(&o.daemon, "daemon", false, "of the daemon on this host, or of --host")
	cmd.AddCommand(newTemplateCreate(o), newTemplateLs(o), newTemplateInspect(o), newTemplateRm(o))
	return cmd
}

// open returns a client of the node, or of one within this process.
func (o *templateHost) open() (c *client.Client, end func() error, err error) {
	if o.host == "" && !o.daemon {
		return openStandalone()
	}
	if c, err = o.connect(); err != nil {
		return nil, nil, err
	}
	return c, c.Close, nil
}

// with calls do with such a client.
func (o *templateHost) with(do func(*client.Client) error) error {
	c, end, err := o.open()
	if err != nil {
		return err
	}
	return errors.Join(do(c), end())
}

// namesTemplate reports whether a sandbox asks for a certain one.
func namesTemplate(s *bulkheadv1.SandboxSpec) bool {
	return s.GetTemplate() != "" && s.GetTemplate() != "none"
}

// shortID is as much of an ID as people are shown, as docker has it.
func shortID(id string) string {
	return printable(fmt.Sprintf("%.12s", strings.TrimPrefix(id, "sha256:")))
}

func newTemplateInspect(o *templateHost) *cobra.Command {
	return &cobra.Command{
		Use: "inspect TEMPLATE", Short: "Print all there is to know of a template, as JSON", Args: cobra.ExactArgs(1), ValidArgsFunction: o.completeTemplates,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(func(c *client.Client) error {
				r, err := c.Templates.GetTemplate(cmd.Context(), &bulkheadv1.GetTemplateRequest{Id: args[0]})
				if err != nil {
					return plain(err)
				}
				return printJSON(cmd.OutOrStdout(), r.GetTemplate(), true)
			})
		},
	}
}

func newTemplateRm(o *templateHost) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm TEMPLATE...", Short: "Delete templates; sandboxes that run from them go on, but not from their next start", Args: cobra.MinimumNArgs(1), ValidArgsFunction: o.completeTemplates,
		RunE: func(cmd *cobra.Command, ids []string) error {
			return o.with(func(c *client.Client) error {
				return eachOf(cmd, c, ids, func(ctx context.Context, c *client.Client, id string) error {
					_, err := c.Templates.DeleteTemplate(ctx, &bulkheadv1.DeleteTemplateRequest{Id: id})
					if force && status.Code(err) == codes.NotFound {
						return errNothingToDo
					}
					return err
				})
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't mind those that aren't there")
	return cmd
}
