package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// termTime is how long a command has from SIGTERM to its end.
	termTime = 2 * time.Second
	// askTime is how long a guest has to answer what needs no work.
	askTime = time.Second
)

var (
	errTimeout   = errors.New("the command ran out of its time")
	errSignalled = errors.New("ended by a signal")
	errLeft      = errors.New("left by a signal; the command goes on")
)

// clock returns what ticks when the command's time is up: nil if never.
func (a *attachment) clock() <-chan time.Time {
	if a.options.timeout <= 0 {
		return nil
	}
	return time.After(a.options.timeout)
}

func (a *attachment) timedOut() error {
	return &exitError{exitTimeout, fmt.Errorf("%w: --timeout %v", errTimeout, a.options.timeout)}
}

// supervise waits for the command's end while it passes signals on and watches
// the clock. No guest can keep it from either: it is asked in the background.
func (a *attachment) supervise(ctx context.Context, p *client.Process, clock <-chan time.Time) (*bulkheadv1.ProcessExit, error) {
	ask, stop := asker(ctx)
	defer stop()
	interrupts := 0
	for {
		select {
		case <-p.Done():
			exit, err := p.Wait()
			if err != nil {
				return nil, a.explain(ctx, err)
			}
			return exit, nil
		case <-clock:
			ask(func(ctx context.Context) { p.Signal(ctx, sigTerm) })
			select {
			case <-p.Done():
			case <-time.After(termTime):
			}
			return nil, a.timedOut()
		case <-a.detached:
			return nil, errDetached
		case <-a.signals.resize:
			if size := a.terminal.ownSize(); size != nil {
				ask(func(ctx context.Context) { p.Resize(ctx, size) })
			}
		case s := <-a.signals.forward:
			if a.looks {
				return nil, &exitError{exitSignal + int(s), errLeft}
			}
			if endsAtSecond(s) {
				interrupts++
			}
			if interrupts > 1 {
				return nil, &exitError{exitSignal + int(s), errSignalled}
			}
			ask(func(ctx context.Context) { p.Signal(ctx, int(s)) })
		}
	}
}

// asker returns a function that calls the guest in the background, one call
// after the other. Failures are nobody's: a guest that has gone is noticed
// elsewhere, and one that doesn't listen is ended by the clock or a signal.
func asker(ctx context.Context) (ask func(func(context.Context)), stop func()) {
	calls := make(chan func(context.Context), 16)
	go func() {
		for call := range calls {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			call(ctx)
			cancel()
		}
	}()
	ask = func(call func(context.Context)) {
		select {
		case calls <- call:
		default: // it hasn't answered the last sixteen either
		}
	}
	return ask, func() { close(calls) }
}

// drain waits until all output has been written here: until the clock or a signal
// says otherwise.
func (a *attachment) drain(c *copying, clock <-chan time.Time) error {
	for {
		select {
		case <-c.done:
			return c.err()
		case <-clock:
			return a.timedOut()
		case s := <-a.signals.forward:
			if endsAtSecond(s) {
				return &exitError{exitSignal + int(s), errSignalled}
			}
		}
	}
}
