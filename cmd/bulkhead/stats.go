package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// statsOptions are the flags of stats.
type statsOptions struct {
	output
	noStream bool
	screen   bool // each table takes the place of the last
}

// clearScreen takes the cursor to the top, and drops all below it.
const clearScreen = "\x1b[H\x1b[J"

func newStats(h *hostOptions) *cobra.Command {
	o := &statsOptions{}
	cmd := &cobra.Command{
		Use: "stats [SANDBOX...]", Short: "Show what running sandboxes use, once a second", ValidArgsFunction: h.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			o.screen = !o.noStream && term.IsTerminal(int(os.Stdout.Fd()))
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return o.run(cmd, c, args)
		},
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVar(&o.noStream, "no-stream", false, "only once")
	return cmd
}

func (o *statsOptions) run(cmd *cobra.Command, c *client.Client, names []string) error {
	ctx := cmd.Context()
	before, err := collectStats(ctx, c, names)
	if err != nil {
		return err
	}
	for {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := collectStats(ctx, c, names)
		if err != nil {
			return err
		}
		if err := o.show(cmd, before, now); err != nil || o.noStream {
			return err
		}
		before = now
	}
}

// sandboxStats is what one sandbox uses.
type sandboxStats struct {
	name string
	*bulkheadv1.SandboxStats
}

// collectStats asks for the sandboxes that are named, or for all that run.
func collectStats(ctx context.Context, c *client.Client, names []string) (all []sandboxStats, err error) {
	asked := len(names) > 0
	if !asked {
		err := list(ctx, c, &bulkheadv1.ListSandboxesRequest{States: running}, func(s *bulkheadv1.Sandbox) error {
			names = append(names, s.GetName())
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		r, err := c.GetSandboxStats(ctx, &bulkheadv1.GetSandboxStatsRequest{Name: name})
		if err != nil {
			if asked {
				return nil, plain(err)
			}
			continue // it has ended meanwhile
		}
		all = append(all, sandboxStats{name, r.GetStats()})
	}
	return all, nil
}

func (o *statsOptions) show(cmd *cobra.Command, before, now []sandboxStats) error {
	earlier := map[string]*bulkheadv1.SandboxStats{}
	for _, s := range before {
		earlier[s.name] = s.SandboxStats
	}
	if o.format == formatJSON {
		for _, s := range now {
			if err := printNamed(cmd.OutOrStdout(), s.name, s.SandboxStats, false); err != nil {
				return err
			}
		}
		return nil
	}
	var rows [][]string
	for _, s := range now {
		var in, out uint64
		for _, d := range s.GetDevices() {
			in, out = in+d.GetReceivedBytes(), out+d.GetTransmittedBytes()
		}
		rows = append(rows, []string{
			s.name, percent(earlier[s.name], s.SandboxStats), bytesText(s.GetMemoryBytes()), bytesText(s.GetOverheadBytes()),
			bytesText(in) + " / " + bytesText(out),
		})
	}
	var text bytes.Buffer // printed at once, or the screen would flicker
	if o.screen {
		text.WriteString(clearScreen)
	}
	if err := table(&text, []string{"NAME", "CPU", "MEMORY", "OVERHEAD", "I/O IN / OUT"}, rows); err != nil {
		return err
	}
	_, err := cmd.OutOrStdout().Write(text.Bytes())
	return err
}

// percent is how busy one processor was between two looks.
func percent(a, b *bulkheadv1.SandboxStats) string {
	if a == nil {
		return "-"
	}
	busy := func(s *bulkheadv1.SandboxStats) time.Duration {
		return s.GetUserTime().AsDuration() + s.GetSystemTime().AsDuration()
	}
	took := b.GetTime().AsTime().Sub(a.GetTime().AsTime())
	if took <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(busy(b)-busy(a))/float64(took))
}
