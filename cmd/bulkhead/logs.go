package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	follow, timestamps, console bool
	since, tail                 string
}

func newLogs(h *hostOptions) *cobra.Command {
	o := &logsOptions{}
	cmd := &cobra.Command{
		Use: "logs SANDBOX", Short: "Print what a sandbox's command has written", Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.request(args[0])
			if err != nil {
				return err
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if o.follow { // which else waits for the node
				if _, err := c.GetSandbox(cmd.Context(), &bulkheadv1.GetSandboxRequest{Name: args[0]}); err != nil {
					return plain(err)
				}
			}
			p := &logPrinter{stdout: os.Stdout, stderr: os.Stderr, timestamps: o.timestamps}
			return plain(c.Logs(cmd.Context(), r, p.print))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until the sandbox has stopped for good")
	f.BoolVarP(&o.timestamps, "timestamps", "t", false, "begin each line with its time")
	f.StringVar(&o.since, "since", "", "only from this `TIME` on: 2026-11-27T18:00:00Z, or so long ago: 10m")
	f.StringVarP(&o.tail, "tail", "n", "all", "only the last `LINES` of them")
	f.BoolVar(&o.console, "console", false, "the guest's console in place of the command's output")
	return cmd
}

func (o *logsOptions) request(sandbox string) (*bulkheadv1.GetLogsRequest, error) {
	r := &bulkheadv1.GetLogsRequest{Sandbox: sandbox, Follow: o.follow, Console: o.console}
	if o.since != "" {
		t, err := parseTime(o.since)
		if err != nil {
			return nil, fmt.Errorf("--since: %w", err)
		}
		r.Since = timestamppb.New(t)
	}
	if o.tail != "all" {
		n, err := strconv.ParseUint(o.tail, 10, 20)
		if err != nil {
			return nil, fmt.Errorf("--tail %q is no number of lines", o.tail)
		}
		r.Tail = proto.Uint32(uint32(n))
	}
	return r, nil
}

// parseTime reads a time, or how long ago one was.
func parseTime(s string) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("%q is neither a time such as 2026-11-27T18:00:00Z nor a length of time such as 10m", s)
	}
	return t, nil
}
