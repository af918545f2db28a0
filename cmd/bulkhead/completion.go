package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// completeTime is how long a shell waits for a node. One that doesn't answer has
// no names.
const completeTime = time.Second

// names returns the names of sandboxes. It prints nothing, whatever fails.
func (o *hostOptions) names(ctx context.Context) (names []string) {
	c, err := o.connect()
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	list(ctx, c, &bulkheadv1.ListSandboxesRequest{}, func(s *bulkheadv1.Sandbox) error {
		names = append(names, s.GetName())
		return nil
	})
	return names
}

// complete completes the names of sandboxes that aren't there yet.
func (o *hostOptions) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(o.names(cmd.Context()), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFirst completes the name of the one sandbox that a command takes, and
// leaves what follows to the user.
func (o *hostOptions) completeFirst(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.names(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// snapshotNames is names for snapshots.
func (o *hostOptions) snapshotNames(ctx context.Context) (names []string) {
	c, err := o.connect()
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	listSnapshots(ctx, c, &bulkheadv1.ListSnapshotsRequest{}, func(s *bulkheadv1.Snapshot) error {
		names = append(names, s.GetName())
		return nil
	})
	return names
}

// completeSnapshots completes the names of snapshots that aren't there yet.
func (o *hostOptions) completeSnapshots(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(o.snapshotNames(cmd.Context()), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSnapshot completes the name of the one snapshot that a command takes.
func (o *hostOptions) completeSnapshot(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.snapshotNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// poolNames is names for pools.
func (o *hostOptions) poolNames(ctx context.Context) (names []string) {
	c, err := o.connect()
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	listPools(ctx, c, &bulkheadv1.ListPoolsRequest{}, func(p *bulkheadv1.Pool) error {
		names = append(names, p.GetName())
		return nil
	})
	return names
}

// completePools completes the names of pools that aren't there yet.
func (o *hostOptions) completePools(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(o.poolNames(cmd.Context()), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePool completes the name of the one pool that a command takes.
func (o *hostOptions) completePool(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return o.poolNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
}

// completeTemplates completes the short IDs of templates that aren't there yet.
func (o *templateHost) completeTemplates(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, end, err := o.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer end()
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	defer cancel()
	var ids []string
	listTemplates(ctx, c, &bulkheadv1.ListTemplatesRequest{}, func(t *bulkheadv1.Template) error {
		if id := shortID(t.GetId()); !slices.Contains(args, id) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completePlace completes the sandbox of SANDBOX:PATH, or a file here.
func (o *hostOptions) completePlace(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) > 1, strings.Contains(begun, ":"):
		return nil, cobra.ShellCompDirectiveNoFileComp
	case strings.HasPrefix(begun, "/"), strings.HasPrefix(begun, "."):
		return nil, cobra.ShellCompDirectiveDefault
	}
	names := o.names(cmd.Context())
	for i := range names {
		names[i] += ":"
	}
	return names, cobra.ShellCompDirectiveNoSpace
}
