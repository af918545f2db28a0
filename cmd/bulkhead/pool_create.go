package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const poolCreateLong = `Keep so many guests ready, and print the pool's name. Its guests go on from the node's
template that is named, or from one of such a machine, with a command run in it if one is
given: that is made first, unless it is there.

The pool is there when this command ends; its guests come up after that. "bulkhead pool
ls" shows how many are ready, and what is in the way of the rest.`

const poolCreateExample = `  # Five guests that have booted
  bulkhead pool create plain --size 5

  # Two in which Python has loaded what scripts need
  bulkhead pool create python --size 2 --rootfs /var/lib/bulkhead/images/debian -- python3 -c "import json, ssl, asyncio"
  bulkhead pool claim python -- python3 script.py`

// poolCreateOptions are the flags of pool create.
type poolCreateOptions struct {
	*hostOptions
	machine specOptions
	// The rest are the pool's.
	size     uint32
	template string // an ID; empty: of such a machine
	labels   []string
}

// ownPoolFlags are those that don't say what a template is of.
var ownPoolFlags = []string{"size", "template", "label"}

func newPoolCreate(h *hostOptions) *cobra.Command {
	o := &poolCreateOptions{hostOptions: h}
	cmd := &cobra.Command{
		Use: "create POOL --size N [flags] [-- COMMAND [ARG...]]", Short: "Keep guests ready, and print the pool's name", Long: poolCreateLong, Example: poolCreateExample,
		Args: oneAndCommand, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.Uint32Var(&o.size, "size", 0, "`NUMBER` of guests to keep ready")
	f.StringVar(&o.template, "template", "", "have them go on from the node's template with this `ID` (default: one of such a machine, made if there is none)")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label the pool, `KEY=VALUE`; repeatable")
	o.machine.addTemplateFlags(cmd)
	return cmd
}

func (o *poolCreateOptions) run(cmd *cobra.Command, name string, prepare []string) error {
	if !cmd.Flags().Changed("size") {
		return errors.New("--size isn't given: how many guests are to be ready?")
	}
	r := &bulkheadv1.CreatePoolRequest{Name: name, Template: o.template, Size: o.size}
	t, err := o.templateRequest(cmd, prepare)
	if err != nil {
		return err
	}
	if r.Labels, err = parseLabels(o.labels); err != nil {
		return err
	}
	return o.withPools(func(c *client.Client) error {
		if o.template == "" {
			if r.Template, err = madeTemplate(cmd.Context(), c, t); err != nil {
				return err
			}
		}
		p, err := c.Pool(cmd.Context(), r)
		if reasonOf(err) == fault.ReasonNoTemplate {
			return fmt.Errorf("%w (those that were made without --daemon are not the node's)", plain(err))
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), p.GetName())
		return err
	})
}

// templateRequest is what is asked for where no template is named.
func (o *poolCreateOptions) templateRequest(cmd *cobra.Command, prepare []string) (*bulkheadv1.CreateTemplateRequest, error) {
	if o.template == "" {
		return o.machine.templateRequest(o.hostOptions, prepare)
	}
	if len(prepare) > 0 {
		return nil, errors.New("--template: what was run in it is the template's: leave the command out")
	}
	var err error
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && !slices.Contains(ownPoolFlags, f.Name) {
			err = fmt.Errorf("--template: the machine is the template's: leave --%s out", f.Name)
		}
	})
	return nil, err
}

// madeTemplate makes the template of a pool, or finds it, and returns its ID.
func madeTemplate(ctx context.Context, c *client.Client, r *bulkheadv1.CreateTemplateRequest) (string, error) {
	defer notifyLate("a guest is being booted for the pool's template")()
	t, existed, err := c.Template(ctx, r)
	if err == nil && !existed {
		notify("made template " + shortID(t.GetId()))
	}
	return t.GetId(), err
}
