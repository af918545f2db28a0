package server

import (
	"context"
	"errors"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/rpc"
)

// statusOf returns err with the status code of its kind.
func statusOf(err error) *rpc.Status {
	code := codeOf(fail.KindOf(err))
	switch {
	case errors.Is(err, context.Canceled):
		code = rpc.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = rpc.DeadlineExceeded
	}
	return &rpc.Status{Code: code, Message: err.Error()}
}

func codeOf(k fail.Kind) rpc.Code {
	switch k {
	case fail.Invalid:
		return rpc.InvalidArgument
	case fail.NotFound:
		return rpc.NotFound
	case fail.Denied:
		return rpc.PermissionDenied
	case fail.Exists:
		return rpc.AlreadyExists
	case fail.Untimely:
		return rpc.FailedPrecondition
	case fail.Exhausted:
		return rpc.ResourceExhausted
	case fail.Late:
		return rpc.DeadlineExceeded
	}
	return rpc.Internal
}
