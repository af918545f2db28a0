package node

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
)

// noSpace makes an error that is of a full disk one that clients can act on, and
// leaves others as they are.
func noSpace(subject, what string, err error) error {
	if isFull(err) {
		return fault.NoSpace(subject, what, err)
	}
	return err
}

// isFull reports whether an error is of a full disk: the node's own, or a worker's.
func isFull(err error) bool {
	for _, full := range []error{store.ErrFull, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, full) {
			return true
		}
	}
	var answered interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &answered) || answered.GRPCStatus().Code() != codes.ResourceExhausted {
		return false
	}
	text := answered.GRPCStatus().Message() // there is more that can be exhausted
	return strings.Contains(text, unix.ENOSPC.Error()) || strings.Contains(text, unix.EDQUOT.Error())
}
