package access

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readOnlyMethods are those that look and change nothing; of services that end
// with a slash, all.
var readOnlyMethods = []string{
	"/bulkhead.v1.Sandboxes/GetSandbox",
	"/bulkhead.v1.Sandboxes/GetSandboxStats",
	"/bulkhead.v1.Sandboxes/ListSandboxes",
	"/bulkhead.v1.Sandboxes/WatchSandboxes",
	"/bulkhead.v1.Snapshots/GetSnapshot",
	"/bulkhead.v1.Snapshots/ListSnapshots",
	"/bulkhead.v1.Templates/GetTemplate",
	"/bulkhead.v1.Templates/ListTemplates",
	"/bulkhead.v1.Pools/GetPool",
	"/bulkhead.v1.Pools/ListPools",
	"/bulkhead.v1.Processes/GetLogs",
	"/bulkhead.v1.Node/GetNodeInfo",
	"/grpc.reflection.v1.ServerReflection/",
	"/grpc.reflection.v1alpha.ServerReflection/",
}

// openMethods are for anybody who can connect, for load balancers and the like.
var openMethods = []string{"/grpc.health.v1.Health/"}

func among(method string, list []string) bool {
	for _, m := range list {
		if m == method || strings.HasSuffix(m, "/") && strings.HasPrefix(method, m) {
			return true
		}
	}
	return false
}

// Check fails if who calls may not call the method. The interceptors do it for every
// call; it is also for who refuses calls before there are requests to intercept.
func Check(ctx context.Context, method string) error {
	c := FromContext(ctx)
	switch {
	case among(method, openMethods), c.Role == Full, c.Role == ReadOnly && among(method, readOnlyMethods):
		return nil
	case c.Role == ReadOnly:
		return denied(c.Name + " may only look: it has the read-only role")
	}
	return denied(c.Refusal)
}

func denied(why string) error {
	s := status.New(codes.PermissionDenied, why)
	if with, err := s.WithDetails(&errdetails.ErrorInfo{Reason: "NOT_ALLOWED", Domain: "bulkhead"}); err == nil {
		s = with
	}
	return s.Err()
}

// Unary refuses calls that their client may not make.
func Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := Check(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is Unary for streams.
func Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := Check(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handler(srv, stream)
}
