package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// toStatus gives err the status code of its kind.
func toStatus(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	}
	return status.Error(codeOf(fail.KindOf(err)), err.Error())
}

func codeOf(k fail.Kind) codes.Code {
	switch k {
	case fail.Invalid:
		return codes.InvalidArgument
	case fail.NotFound:
		return codes.NotFound
	case fail.Denied:
		return codes.PermissionDenied
	case fail.Exists:
		return codes.AlreadyExists
	case fail.Untimely:
		return codes.FailedPrecondition
	case fail.Exhausted:
		return codes.ResourceExhausted
	case fail.Late:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
