package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const templateCreateLong = `Boot a guest, run a command in it if one is given, save it, and print the template's
ID: that of one which is there already, if nothing would be another. The command
must end with exit code 0 within --prepare-timeout; what it leaves running, and what
it wrote, is in every sandbox that begins as the template.

The guest is in a sandbox whose name begins with "template-", until it is saved. On
a daemon, "bulkhead rm -f" of that sandbox calls it off.`

const templateCreateExample = `  # What "bulkhead run --cpus 2" begins as from then on
  bulkhead template create --cpus 2

  # A warm Python
  bulkhead template create --rootfs ./debian -- python3 -c "import json, ssl, asyncio"
  bulkhead run --template 3f2a9c04d1b7 -- python3 script.py`

func newTemplateCreate(h *templateHost) *cobra.Command {
	o := &specOptions{}
	cmd := &cobra.Command{
		Use:     "create [flags] [-- COMMAND [ARG...]]",
		Short:   "Make a template, and print its ID",
		Long:    templateCreateLong,
		Example: templateCreateExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.templateRequest(h.hostOptions, args)
			if err != nil {
				return err
			}
			return h.with(func(c *client.Client) error { return createTemplate(cmd, c, r) })
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	o.addTemplateFlags(cmd)
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label the template, `KEY=VALUE`; repeatable")
	return cmd
}

// addTemplateFlags adds those that say what a template is of.
func (o *specOptions) addTemplateFlags(cmd *cobra.Command) {
	o.addMachineFlags(cmd)
	o.addProcessFlags(cmd)
	cmd.Flags().DurationVar(&o.prepare, "prepare-timeout", 0, "give up after COMMAND has run for this long, such as 90s (default 10m, or what the node says)")
	cmd.Flags().StringArrayVar(&o.disks, "disk", nil, "attach a raw image, `DISK`: PATH:ro[,direct]; repeatable")
	cmd.Flags().StringArrayVar(&o.nets, "net", nil, "plug an interface into `NETWORK`: tap=NAME or bridge=NAME; repeatable")
}

// templateRequest checks the flags, and turns them and the command that is to be run in
// it, if any, into what a node is asked for.
func (o *specOptions) templateRequest(h *hostOptions, prepare []string) (*bulkheadv1.CreateTemplateRequest, error) {
	s, err := o.spec(h)
	if err != nil {
		return nil, err
	}
	r := &bulkheadv1.CreateTemplateRequest{Spec: s, Labels: s.GetLabels()}
	s.Labels = nil
	if len(prepare) > 0 {
		r.Prepare = o.command(prepare)
	}
	if o.given("prepare-timeout") {
		r.PrepareTimeout = durationpb.New(o.prepare)
	}
	return r, nil
}

func createTemplate(cmd *cobra.Command, c *client.Client, r *bulkheadv1.CreateTemplateRequest) error {
	defer notifyLate("a guest is being booted for the template")()
	t, existed, err := c.Template(cmd.Context(), r)
	if err != nil {
		return plain(err)
	}
	if existed {
		notify("there is such a template already")
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), shortID(t.GetId()))
	return err
}
