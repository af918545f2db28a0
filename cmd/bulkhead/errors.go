package main

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// reasonOf returns why a call failed, empty if it doesn't say.
func reasonOf(err error) string {
	var called *callError
	if errors.As(err, &called) {
		err = called.err
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// callError is a call's error in the words that the node chose.
type callError struct{ err error }

func (e *callError) Error() string { return status.Convert(e.err).Message() }

func (e *callError) Unwrap() error { return e.err }

// plain strips a status of its framing, once.
func plain(err error) error {
	var (
		called *callError
		away   *unreachableError
	)
	if errors.As(err, &called) || errors.As(err, &away) {
		return err
	}
	if _, ok := status.FromError(err); ok && err != nil {
		if status.Code(err) == codes.Unavailable && reasonOf(err) == "" {
			return &unreachableError{err: err}
		}
		return &callError{err}
	}
	return err
}

// unreachableError is for who finds no node.
type unreachableError struct {
	err  error
	hint string // where the node may not be there at all; empty: a usual one
}

func (e *unreachableError) Error() string {
	text, hint := unframed(status.Convert(e.err).Message()), cmp.Or(e.hint, "is bulkheadd running, and --host right?")
	switch {
	case strings.Contains(text, "permission denied"):
		hint = "be in the socket's group"
	case strings.Contains(text, "tls: "):
		hint = "do --tlscert, --tlskey, --tlscacert and --tlsname fit this node?"
	}
	return "the node can't be reached: " + text + ": " + hint
}

// unframed is what the RPC library says of a connection without its own words.
func unframed(text string) string {
	if quoted, ok := strings.CutPrefix(text, "connection error: desc = "); ok {
		if s, err := strconv.Unquote(quoted); err == nil {
			text = s
		}
	}
	text = strings.TrimPrefix(text, "transport: ")
	return strings.TrimPrefix(text, "Error while dialing: ")
}

func (e *unreachableError) Unwrap() error { return e.err }

// orCause returns the reason why ctx is done, or the error of a call.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return plain(err)
}

// unlessGone returns an error unless it is that there is no such sandbox.
func unlessGone(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return plain(err)
}

// endedError says that the sandbox ended while the command was still needed.
type endedError struct {
	exit *bulkheadv1.SandboxExit
	err  error // of the call that noticed
}

func (e *endedError) Error() string {
	if m := e.exit.GetMessage(); m != "" {
		return m
	}
	return "the sandbox ended: " + e.reason()
}

// reason returns the end reason in words.
func (e *endedError) reason() string {
	if e.exit.GetReason() == bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST {
		return "host error"
	}
	return words(e.exit.GetReason().String(), "EXIT_REASON_")
}

// code returns the exit code of who waited for the sandbox: that there is no such
// command, or that it can't be executed, is the command's own.
func (e *endedError) code() int {
	c := int(e.exit.GetExitCode())
	if e.exit.GetReason() == bulkheadv1.ExitReason_EXIT_REASON_START_FAILED && (c == exitNotFound || c == exitNotExecutable) {
		return c
	}
	return exitFailure
}

// byGuest reports whether the guest turned itself off. A reboot is no such end: it
// is also what the panic of a kernel without a panic port looks like.
func (e *endedError) byGuest() bool {
	return e.exit.GetReason() == bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF
}
