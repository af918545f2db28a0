// Bulkheadd runs the sandboxes of one node for those who call its gRPC API.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/containerd/log"
	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/daemon"
	"github.com/bulkhead-vm/bulkhead/vmm/version"
)

func main() {
	// The RPC library logs what came too late for who had asked.
	log.SetLevel("panic")
	if err := newRoot().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "bulkheadd:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	path := daemon.DefaultPath
	root := &cobra.Command{
		Use:           "bulkheadd",
		Short:         "Run the sandboxes of this node for those who call its API",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path) },
	}
	root.PersistentFlags().StringVar(&path, "config", path, "configuration `file`; the default one needn't be there")
	root.AddCommand(newConfig(&path), newVersion())
	return root
}

// serve runs the daemon until it is told to end.
func serve(ctx context.Context, path string) error {
	c, err := daemon.Load(path)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	return daemon.Run(ctx, daemon.Options{Path: path, Config: c, Version: version.Text(), Reload: reload})
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "bulkheadd", version.Text())
			return err
		},
	}
}
