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

const rootLong = `Run the sandboxes of this node for those who call its gRPC API: bulkhead(1),
schedulers and other programs.

Sandboxes are processes of their own, which go on while the daemon doesn't run:
when it starts it finds them again. SIGTERM and SIGINT end the daemon and no
sandbox; SIGHUP has it read its configuration again.

It serves on the unix socket /run/bulkheadd/bulkheadd.sock, and on TCP if it is
configured to, with mutual TLS. bulkheadd.toml(5) says what can be configured.`

func newRoot() *cobra.Command {
	path := daemon.DefaultPath
	root := &cobra.Command{
		Use:           "bulkheadd",
		Short:         "Run the sandboxes of this node for those who call its API",
		Long:          rootLong,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path) },
	}
	root.CompletionOptions.HiddenDefaultCmd = true // it is there for who wants it
	root.PersistentFlags().StringVar(&path, "config", path, "configuration `file`; the default one needn't be there")
	root.AddCommand(newConfig(&path), newVersion(), newMan())
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
