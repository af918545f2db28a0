package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/vmm/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "bulkhead", version.Text())
			return err
		},
	}
}
