package server

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// toStatus gives err the status code of its kind.
func toStatus(err error) error {
	code := codeOf(fail.KindOf(err))
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	// Names of files may be any bytes, and messages are UTF-8.
	return status.Error(code, strings.ToValidUTF8(err.Error(), "\uFFFD"))
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
	case fail.Cut:
		return codes.Aborted
	}
	return codes.Internal
}
