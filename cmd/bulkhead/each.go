package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
)

// atATime is how many sandboxes of one command are worked on at a time.
const atATime = 16

// errNothingToDo is for a sandbox that is as it should be: no failure, and no name
// to print.
var errNothingToDo = errors.New("nothing to do")

// each returns what calls do for each sandbox that is named, several at a time, and
// prints the names of those for which it succeeded, in their order.
func each(h *hostOptions, do func(context.Context, *client.Client, string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, names []string) error {
		c, err := h.connect()
		if err != nil {
			return err
		}
		defer c.Close()
		return eachOf(cmd, c, names, do)
	}
}

// eachOf does so with a client.
func eachOf(cmd *cobra.Command, c *client.Client, names []string, do func(context.Context, *client.Client, string) error) error {
	outcomes := inParallel(names, func(name string) error { return do(cmd.Context(), c, name) })
	var errs []error
	for i, name := range names {
		err := <-outcomes[i]
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
		}
		if err != nil && !errors.Is(err, errNothingToDo) {
			errs = append(errs, plain(err))
		}
	}
	return errors.Join(errs...)
}

// inParallel calls do for each name. Each outcome is in a channel of its own, of
// which the caller takes all.
func inParallel(names []string, do func(string) error) []chan error {
	outcomes, places := make([]chan error, len(names)), make(chan struct{}, atATime)
	for i := range outcomes {
		outcomes[i] = make(chan error, 1)
	}
	go func() {
		for i, name := range names {
			places <- struct{}{}
			go func() {
				outcomes[i] <- do(name)
				<-places
			}()
		}
	}()
	return outcomes
}
