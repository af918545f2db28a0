package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

const sigTerm = int(syscall.SIGTERM)

// signals are this process's: those for the command, and those about the
// window.
type signals struct {
	forward chan syscall.Signal
	resize  chan os.Signal
	raw     chan os.Signal
	done    chan struct{}
}

// catchSignals takes over the signals that are the command's. Writing to a
// closed pipe becomes an error instead of a signal, so that nothing is left
// behind.
func catchSignals() *signals {
	s := &signals{
		forward: make(chan syscall.Signal, 16),
		resize:  make(chan os.Signal, 1),
		raw:     make(chan os.Signal, 16),
		done:    make(chan struct{}),
	}
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(s.resize, syscall.SIGWINCH)
	signal.Notify(s.raw, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case sig := <-s.raw:
				s.forward <- sig.(syscall.Signal)
			case <-s.done:
				return
			}
		}
	}()
	return s
}

// untilSignal returns a context that ends with a signal that would end this process,
// for who has to put away something first. Its cause has the exit code.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	came := make(chan os.Signal, 1)
	signal.Notify(came, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		select {
		case sig := <-came:
			cancel(&exitError{exitSignal + int(sig.(syscall.Signal)), errSignalled})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(came)
		cancel(nil)
	}
}

func (s *signals) release() {
	signal.Stop(s.raw)
	signal.Stop(s.resize)
	close(s.done)
}

// endsAtSecond reports whether the second such signal ends the sandbox.
func endsAtSecond(s syscall.Signal) bool { return s == syscall.SIGINT || s == syscall.SIGTERM }

// cancelOnFirst returns a context that ends with the first signal: before the
// command runs there is nobody to pass it to.
func (s *signals) cancelOnFirst(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case sig := <-s.forward:
			cancel(&exitError{exitSignal + int(sig), errSignalled})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
