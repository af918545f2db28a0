package server

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ignoreEnded is for messages to a process that may have ended while they were on
// their way.
func ignoreEnded(err error) error {
	if code := status.Code(err); code == codes.FailedPrecondition || code == codes.NotFound {
		return nil
	}
	return err
}
