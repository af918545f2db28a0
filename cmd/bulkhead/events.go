package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func newEvents(h *hostOptions) *cobra.Command {
	o := &output{}
	var selector, name string
	var after int64
	cmd := &cobra.Command{
		Use: "events", Short: "Show what happens to sandboxes, as it happens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r := &bulkheadv1.WatchSandboxesRequest{LabelSelector: selector, Name: name}
			info, err := c.Node.GetNodeInfo(cmd.Context(), &bulkheadv1.GetNodeInfoRequest{})
			if err != nil { // where a watch would wait for the node
				return plain(err)
			}
			if after < 0 {
				after = int64(info.GetInfo().GetResourceVersion())
			}
			r.ResourceVersion = proto.Uint64(uint64(after))
			return plain(c.Watch(cmd.Context(), r, func(m *bulkheadv1.WatchSandboxesResponse) error { return o.event(cmd, m) }))
		},
	}
	o.addFlag(cmd)
	cmd.Flags().StringVarP(&selector, "selector", "l", "", "only of sandboxes with these `LABELS`, such as app=web,tier!=db")
	cmd.Flags().StringVar(&name, "name", "", "only of the sandbox `NAME`")
	cmd.Flags().Int64Var(&after, "after", -1, "what happened after a resource `VERSION`, too (default: only what is to come)")
	return cmd
}

func (o *output) event(cmd *cobra.Command, m *bulkheadv1.WatchSandboxesResponse) error {
	if m.GetType() == bulkheadv1.EventType_EVENT_TYPE_BOOKMARK {
		if client.Forgotten(m) {
			fmt.Fprintln(cmd.ErrOrStderr(), "bulkhead: the node has forgotten what happened meanwhile: the sandboxes there are follow")
		}
		return nil
	}
	if o.format == formatJSON {
		return printJSON(cmd.OutOrStdout(), m, false)
	}
	s := m.GetSandbox()
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %-8d  %-20s  %-11s  %s\n", m.GetTime().AsTime().Local().Format(time.DateTime),
		m.GetResourceVersion(), s.GetName(), words(s.GetStatus().GetState().String(), "SANDBOX_STATE_"), printable(m.GetMessage()))
	return err
}
