package server

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
)

// domain is that of ErrorInfo.
const domain = "bulkhead"

// toStatus turns an error into what a client gets, nil into nil.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	return withDetails(explain(err))
}

// explain says what kind an error is.
func explain(err error) *fault.Error {
	var (
		known  *fault.Error
		ended  *instance.EndedError
		framed interface{ GRPCStatus() *status.Status }
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, guest.ErrNotFound):
		return &fault.Error{Kind: fault.NotFound, Reason: fault.ReasonCommandNotFound, Err: err}
	case errors.Is(err, guest.ErrNotExecutable):
		return &fault.Error{Kind: fault.Denied, Reason: fault.ReasonCommandNotExecutable, Err: err}
	case errors.Is(err, guest.ErrRefused):
		return &fault.Error{Kind: fault.Unavailable, Reason: fault.ReasonPortRefused, Err: err}
	case errors.Is(err, instance.ErrDetached):
		return fault.New(fault.Unavailable, fault.ReasonClosing, "", "the node is being closed: try again when it is back")
	case errors.As(err, &ended):
		return &fault.Error{Kind: fault.Aborted, Reason: fault.ReasonEnded, Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{Kind: kindOfContext, Reason: fault.ReasonInternal, Err: err}
	case errors.As(err, &framed) && isContext(framed.GRPCStatus().Code()):
		return &fault.Error{Kind: kindOfContext, Err: framed.GRPCStatus().Err()}
	case errors.As(err, &framed):
		return &fault.Error{Kind: kindOf(framed.GRPCStatus().Code()), Reason: reasonOf(framed.GRPCStatus().Code()), Err: err}
	}
	return &fault.Error{Kind: fault.Internal, Reason: fault.ReasonInternal, Err: err}
}

func isContext(c codes.Code) bool { return c == codes.Canceled || c == codes.DeadlineExceeded }

// kindOfContext is no kind of package fault's: the call itself has ended.
const kindOfContext fault.Kind = -1

// kinds are the codes that stand for kinds, both ways.
var kinds = map[fault.Kind]codes.Code{
	fault.Internal:      codes.Internal,
	fault.Invalid:       codes.InvalidArgument,
	fault.NotFound:      codes.NotFound,
	fault.Exists:        codes.AlreadyExists,
	fault.Precondition:  codes.FailedPrecondition,
	fault.Exhausted:     codes.ResourceExhausted,
	fault.Unavailable:   codes.Unavailable,
	fault.Aborted:       codes.Aborted,
	fault.Denied:        codes.PermissionDenied,
	fault.OutOfRange:    codes.OutOfRange,
	fault.Unimplemented: codes.Unimplemented,
}

// kindOf is for what a guest's agent answered.
func kindOf(c codes.Code) fault.Kind {
	for kind, code := range kinds {
		if code == c {
			return kind
		}
	}
	return fault.Internal
}

func reasonOf(c codes.Code) string {
	if c == codes.Internal || c == codes.Unknown {
		return fault.ReasonInternal
	}
	return fault.ReasonGuest
}

// withDetails returns e as a status.
func withDetails(e *fault.Error) error {
	if e.Kind == kindOfContext {
		s, ok := status.FromError(e.Err)
		if !ok {
			s = status.FromContextError(e.Err)
		}
		return status.Error(s.Code(), clip.Text(s.Message(), maxMessage)) // a guest's own details are nobody's
	}
	s := status.New(kinds[e.Kind], clip.Text(e.Error(), maxMessage))
	with, err := s.WithDetails(details(e)...)
	if err != nil {
		return s.Err() // without them, then
	}
	return with.Err()
}

func details(e *fault.Error) []protoadapt.MessageV1 {
	info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: domain}
	subject := clip.Text(e.Subject, maxWord)
	if subject != "" {
		info.Metadata = map[string]string{"subject": subject}
	}
	all := []protoadapt.MessageV1{info}
	switch e.Kind {
	case fault.Invalid:
		all = append(all, badRequest(e.Violations))
	case fault.NotFound, fault.Exists:
		all = append(all, &errdetails.ResourceInfo{ResourceType: cmp.Or(e.Resource, "sandbox"), ResourceName: subject})
	case fault.Exhausted:
		all = append(all, &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: subject}}})
	case fault.Precondition:
		all = append(all, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: e.Reason, Subject: subject}}})
	}
	if e.RetryAfter > 0 {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	return all
}
