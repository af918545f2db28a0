package client

import (
	"context"
	"crypto/rand"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// request is one whose repetition a node recognizes by its ID.
type request interface {
	proto.Message
	GetRequestId() string
}

// identified returns a request with an ID: one of its own, if r has none. r stays as it
// is.
func identified[R request](r R) R {
	if r.GetRequestId() != "" {
		return r
	}
	r = proto.CloneOf(r)
	m := r.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("request_id"), protoreflect.ValueOfString(rand.Text()))
	return r
}

// twice makes a call, and makes it again where the connection was lost before the answer
// came.
func twice[R request, A any](ctx context.Context, call func(context.Context, R, ...grpc.CallOption) (A, error), r R) (A, error) {
	answer, err := call(ctx, r)
	if lost(err) {
		return call(ctx, r)
	}
	return answer, err
}

// lost reports whether an error is the connection's: a node that answers gives
// details.
func lost(err error) bool {
	return status.Code(err) == codes.Unavailable && len(status.Convert(err).Details()) == 0
}
