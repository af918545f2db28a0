package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func newSnapshot(h *hostOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Save sandboxes, and look after what was saved", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSnapshotCreate(h), newSnapshotLs(h), newSnapshotInspect(h), newSnapshotMerge(h), newSnapshotRm(h), newSnapshotExport(h), newSnapshotImport(h))
	return cmd
}

const snapshotCreateLong = `Save a running sandbox, and print the snapshot's name. The sandbox stands still while
its memory is written and its disks are copied, and then goes on.

Only the memory is stored that was written to since the sandbox went on from a
snapshot, or was saved before, where that can be; the rest are files that snapshots
share. Each of them can be deleted: those that are left have all that they need. Disks
that the sandbox writes are copied whole each time: at once on a file system that clones
files, such as XFS or btrfs.`

func newSnapshotCreate(h *hostOptions) *cobra.Command {
	var labels []string
	full := false
	cmd := &cobra.Command{
		Use: "create SANDBOX [NAME]", Short: "Save a running sandbox, and print the snapshot's name", Long: snapshotCreateLong, Args: cobra.RangeArgs(1, 2), ValidArgsFunction: h.completeFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &bulkheadv1.CreateSnapshotRequest{Sandbox: args[0], Full: full}
			if len(args) > 1 {
				r.Name = args[1]
			}
			var err error
			if r.Labels, err = parseLabels(labels); err != nil {
				return err
			}
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			defer notifyLate(fmt.Sprintf("sandbox %s is being saved", args[0]))()
			s, err := c.Snapshot(cmd.Context(), r)
			if err != nil {
				return plain(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), s.GetName())
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&labels, "label", "l", nil, "label the snapshot, `KEY=VALUE`; repeatable")
	cmd.Flags().BoolVar(&full, "full", false, "store all of its memory, and share none with other snapshots")
	return cmd
}

// lateTime is after how long a user is told what takes so long.
const lateTime = 2 * time.Second

// notifyLate shows what there is to wait for, if that takes long, until stop is
// called.
func notifyLate(text string) (stop func()) {
	timer := time.AfterFunc(lateTime, func() { notify(printable(text)) })
	return func() { timer.Stop() }
}

// snapshotLsOptions are the flags of snapshot ls.
type snapshotLsOptions struct {
	output
	quiet             bool
	selector, sandbox string
}

func newSnapshotLs(h *hostOptions) *cobra.Command {
	o := &snapshotLsOptions{}
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List snapshots", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, h) },
	}
	o.addFlag(cmd)
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "only names")
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "only with these `LABELS`, such as app=web,tier!=db")
	cmd.Flags().StringVar(&o.sandbox, "sandbox", "", "only those of this `SANDBOX`")
	return cmd
}

func (o *snapshotLsOptions) run(cmd *cobra.Command, h *hostOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := h.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	var rows [][]string
	r := &bulkheadv1.ListSnapshotsRequest{LabelSelector: o.selector, Sandbox: o.sandbox}
	err = listSnapshots(cmd.Context(), c, r, func(s *bulkheadv1.Snapshot) error {
		switch {
		case o.quiet:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), s.GetName())
			return err
		case o.format == formatJSON:
			return printJSON(cmd.OutOrStdout(), s, false)
		case s.GetProblem() != "":
			rows = append(rows, []string{s.GetName(), "(unusable)", "-", "-", "-", "-", "-"})
			return nil
		}
		rows = append(rows, []string{
			s.GetName(), s.GetSandbox(), ago(s.GetCreateTime()), fmt.Sprint(s.GetCpus()), bytesText(s.GetMemoryBytes()), bytesText(stored(s)), fmt.Sprint(s.GetLayers()),
		})
		return nil
	})
	if err != nil || o.quiet || o.format == formatJSON {
		return err
	}
	return table(cmd.OutOrStdout(), []string{"NAME", "SANDBOX", "CREATED", "CPUS", "MEMORY", "STORED", "LAYERS"}, rows)
}

// stored is what a snapshot takes of the node's disk, but for what it shares.
func stored(s *bulkheadv1.Snapshot) uint64 {
	n := s.GetStoredBytes()
	for _, d := range s.GetDevices() {
		n += d.GetStoredBytes()
	}
	return n
}

// listSnapshots calls do for each snapshot, page by page.
func listSnapshots(ctx context.Context, c *client.Client, r *bulkheadv1.ListSnapshotsRequest, do func(*bulkheadv1.Snapshot) error) error {
	for {
		page, err := c.Snapshots.ListSnapshots(ctx, r)
		if err != nil {
			return plain(err)
		}
		for _, s := range page.GetSnapshots() {
			if err := do(s); err != nil {
				return err
			}
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return nil
		}
	}
}

func newSnapshotInspect(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "inspect SNAPSHOT", Short: "Print all there is to know of a snapshot, as JSON", Args: cobra.ExactArgs(1), ValidArgsFunction: h.completeSnapshot,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Snapshots.GetSnapshot(cmd.Context(), &bulkheadv1.GetSnapshotRequest{Name: args[0]})
			if err != nil {
				return plain(err)
			}
			return printJSON(cmd.OutOrStdout(), r.GetSnapshot(), true)
		},
	}
}

const snapshotMergeLong = `Make the layers of snapshots' memory into one each, in their places: whole snapshots,
which share nothing with others and take no longer to restore than any. It takes as
long as the disk does for all that is stored of the memory.`

func newSnapshotMerge(h *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use: "merge SNAPSHOT...", Short: "Make whole snapshots of those that share files with others", Long: snapshotMergeLong,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.completeSnapshots,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.Snapshots.MergeSnapshot(ctx, &bulkheadv1.MergeSnapshotRequest{Name: name})
			return err
		}),
	}
}

func newSnapshotRm(h *hostOptions) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rm SNAPSHOT...", Short: "Delete snapshots; sandboxes that run from them go on, but can't be started again", Args: cobra.MinimumNArgs(1), ValidArgsFunction: h.completeSnapshots,
		RunE: each(h, func(ctx context.Context, c *client.Client, name string) error {
			_, err := c.Snapshots.DeleteSnapshot(ctx, &bulkheadv1.DeleteSnapshotRequest{Name: name})
			if force && status.Code(err) == codes.NotFound {
				return errNothingToDo
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't mind those that aren't there")
	return cmd
}
