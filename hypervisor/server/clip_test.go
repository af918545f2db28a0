package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// TestStatusesFitIntoHeaders: what clients and guests have sent comes back to
// clients only as far as their headers take it.
func TestStatusesFitIntoHeaders(t *testing.T) {
	long := strings.Repeat("\x1bü", 1<<20)
	var violations []fault.Violation
	for i := range 1000 {
		violations = append(violations, fault.Violation{Field: fmt.Sprint("field", i), Description: long[:300]})
	}
	for name, err := range map[string]error{
		"not found":    fault.New(fault.NotFound, fault.ReasonNoSandbox, long, "there is no %q", long),
		"exhausted":    fault.New(fault.Exhausted, fault.ReasonTooMany, long, "%s", long),
		"precondition": fault.New(fault.Precondition, fault.ReasonState, long, "%s", long),
		"invalid":      fault.InvalidRequest(violations),
		"long field":   fault.InvalidRequest([]fault.Violation{{Field: long, Description: long}}),
		"the guest's":  status.Error(codes.NotFound, long),
		"called off":   status.Error(codes.Canceled, long),
		"no fault":     errors.New(long),
		"a context's":  fmt.Errorf("%s: %w", long, context.Canceled),
		"not text":     errors.New("\xff\xfe"),
	} {
		s := status.Convert(toStatus(err))
		if n := proto.Size(s.Proto()); n > 9<<10 || len(s.Message()) > maxMessage {
			t.Errorf("%s: %d bytes with a message of %d", name, n, len(s.Message()))
		}
		if strings.ToValidUTF8(s.Message(), "") != s.Message() {
			t.Errorf("%s: the message isn't text", name)
		}
	}
	if s := status.Convert(toStatus(fault.InvalidRequest(violations[:2]))); !strings.Contains(fmt.Sprint(s.Details()), "field1") {
		t.Errorf("details %v", s.Details())
	}
}
