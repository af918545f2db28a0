package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// sayUsage has errors about a command's arguments and flags say what they are, for
// the command and those below it.
func sayUsage(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		sayUsage(sub)
	}
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: usage: %s", err, cmd.UseLine())
		}
		return nil
	}
}

// flagError is for flags that there aren't, or that are not as they should be.
func flagError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w: see %q", err, cmd.CommandPath()+" --help")
}
