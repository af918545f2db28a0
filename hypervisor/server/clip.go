package server

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// Bounds of what a status carries, in bytes. It travels in headers, of which
// clients take 8 to 16 KiB, and a part of it is what a client or a guest has sent.
const (
	maxMessage    = 2 << 10
	maxWord       = 200
	maxViolations = 16
	maxViolation  = 4 << 10 // of all of them
)

// badRequest has as many violations as fit: the message names them, too.
func badRequest(violations []fault.Violation) *errdetails.BadRequest {
	bad, size := &errdetails.BadRequest{}, 0
	for _, v := range violations {
		f := &errdetails.BadRequest_FieldViolation{Field: clip.Text(v.Field, maxWord), Description: clip.Text(v.Description, maxMessage)}
		size += len(f.GetField()) + len(f.GetDescription())
		if len(bad.FieldViolations) == maxViolations || size > maxViolation {
			break
		}
		bad.FieldViolations = append(bad.FieldViolations, f)
	}
	return bad
}
