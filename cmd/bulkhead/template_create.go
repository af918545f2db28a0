package main

import (
	"fmt"
	"time"

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
	o, limit := &specOptions{}, time.Duration(0)
	cmd := &cobra.Command{
		Use:     "create [flags] [-- COMMAND [ARG...]]",
		Short:   "Make a template, and print its ID",
		Long:    templateCreateLong,
		Example: templateCreateExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.spec(h.hostOptions)
			if err != nil {
				return err
			}
			r := &bulkheadv1.CreateTemplateRequest{Spec: s, Labels: s.GetLabels()}
			s.Labels = nil
			if len(args) > 0 {
				r.Prepare = o.command(args)
			}
			if cmd.Flags().Changed("prepare-timeout") {
				r.PrepareTimeout = durationpb.New(limit)
			}
			return h.with(func(c *client.Client) error { return createTemplate(cmd, c, r) })
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	o.addMachineFlags(cmd)
	o.addProcessFlags(cmd)
	f.DurationVar(&limit, "prepare-timeout", 0, "give up after COMMAND has run for this long, such as 90s (default 10m, or what the node says)")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label the template, `KEY=VALUE`; repeatable")
	f.StringArrayVar(&o.disks, "disk", nil, "attach a raw image, `DISK`: PATH:ro[,direct]; repeatable")
	f.StringArrayVar(&o.nets, "net", nil, "plug an interface into `NETWORK`: tap=NAME or bridge=NAME; repeatable")
	return cmd
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
