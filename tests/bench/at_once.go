package main

import (
	"errors"

	"golang.org/x/sync/errgroup"
)

// hands are how many things are done at once.
const hands = 8

// atOnce calls do for each name, several at a time, and returns all errors.
func atOnce(names []string, do func(string) error) error {
	var group errgroup.Group
	group.SetLimit(hands)
	errs := make([]error, len(names))
	for i, name := range names {
		group.Go(func() error { errs[i] = do(name); return nil })
	}
	group.Wait()
	return errors.Join(errs...)
}
