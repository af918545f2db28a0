package main

import (
	_ "embed"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/daemon"
)

// defaults is the configuration with every key, as it is when the key is left out.
//
//go:embed bulkheadd.toml
var defaults string

func newConfig(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Look at the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration, if anything",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := daemon.Load(*path); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", *path)
			return err
		},
	}, &cobra.Command{
		Use:   "default",
		Short: "Print a configuration with every key, what it means and its default",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), defaults)
			return err
		},
	})
	return cmd
}
