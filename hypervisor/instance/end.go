package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/status"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// EndedError says that a sandbox's machine ended while somebody still needed
// it.
type EndedError struct{ End }

func (e *EndedError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	text := "the guest ended: " + e.Reason()
	if m := e.GetMessage(); m != "" {
		text += ": " + m
	}
	if line := tellingLine(e.GetConsoleTail()); line != "" && e.GetReason() != vmmv1.EndReason_END_REASON_STOPPED {
		text += fmt.Sprintf(" (its console said: %q; all of it is in its log)", line)
	}
	return text
}

func (e *EndedError) Unwrap() error { return e.Err }

// Reason returns the end reason in words, such as "guest panic".
func (e *EndedError) Reason() string {
	if e.Err != nil {
		return "host error"
	}
	return reasonText(e.GetReason())
}

// blame finds the reason behind an error of a call: the machine's end, that it was
// let go of, the caller's own context, or what the error itself says.
func (i *Instance) blame(ctx context.Context, err error) error {
	select {
	case <-i.ended:
		return &EndedError{i.end}
	default:
	}
	if errors.Is(context.Cause(i.life), ErrDetached) {
		return ErrDetached
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, ttrpc.ErrClosed) || errors.Is(err, errClosed) {
		// The guest's connections go before the worker can say why.
		select {
		case <-i.ended:
			return &EndedError{i.end}
		case <-time.After(stopTime):
		}
	}
	return plain(i.worker.Explain(err))
}

// plain strips an RPC status of its framing. Its code stays.
func plain(err error) error {
	var framed interface{ GRPCStatus() *status.Status }
	if errors.As(err, &framed) {
		return &callError{framed.GRPCStatus()}
	}
	return err
}

// callError is what a worker or an agent answered.
type callError struct{ status *status.Status }

func (e *callError) Error() string { return e.status.Message() }

// GRPCStatus is for package status to find the code.
func (e *callError) GRPCStatus() *status.Status { return e.status }

// reasonText is an end reason in words.
func reasonText(r vmmv1.EndReason) string {
	name := strings.TrimPrefix(r.String(), "END_REASON_")
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}

// tellingLine is the line of a console's output that says why the guest ended:
// the panic's, or else the last one.
func tellingLine(console []byte) string {
	lines := strings.Split(strings.TrimSpace(string(console)), "\n")
	for _, line := range lines {
		if strings.Contains(line, "Kernel panic") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
