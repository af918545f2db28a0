package server

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

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

// clip returns s, or what fits of it with a sign that there was more. It is text
// in any case.
func clip(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "?")
	}
	const more = "..."
	end := most - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "?") + more
}

// badRequest has as many violations as fit: the message names them, too.
func badRequest(violations []fault.Violation) *errdetails.BadRequest {
	bad, size := &errdetails.BadRequest{}, 0
	for _, v := range violations {
		f := &errdetails.BadRequest_FieldViolation{Field: clip(v.Field, maxWord), Description: clip(v.Description, maxMessage)}
		size += len(f.GetField()) + len(f.GetDescription())
		if len(bad.FieldViolations) == maxViolations || size > maxViolation {
			break
		}
		bad.FieldViolations = append(bad.FieldViolations, f)
	}
	return bad
}
