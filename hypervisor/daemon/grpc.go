package daemon

import (
	"context"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/server"
)

// How long a connection may be silent before its client is asked whether it is
// there, and how long it may take to answer; how often a client may ask.
const (
	silentTime = 30 * time.Second
	answerTime = 15 * time.Second
	askTime    = 10 * time.Second
)

// maxHeader bounds the headers of a call, with what HTTP/2 counts for each.
const maxHeader = 16 << 10

// newServer returns a gRPC server for clients with the credentials.
func (d *daemon) newServer(creds credentials.TransportCredentials) *grpc.Server {
	l := d.config.Limits
	calls := accessLog{d.log.Named("access")}
	options := []grpc.ServerOption{
		grpc.Creds(newSeats(l.Connections).seated(creds)),
		grpc.MaxRecvMsgSize(int(l.MessageBytes)),
		grpc.MaxConcurrentStreams(uint32(l.CallsPerConnection)),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.InTapHandle(d.arrivals.tap),
		grpc.ConnectionTimeout(answerTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: silentTime, Timeout: answerTime}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: askTime, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(arrivedUnary, calls.unary, d.metrics.Unary, d.recoverUnary, access.Unary),
		grpc.ChainStreamInterceptor(arrivedStream, calls.stream, d.metrics.Stream, d.recoverStream, access.Stream),
	}
	if d.traces != nil {
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(d.traces), otelgrpc.WithPropagators(propagation.TraceContext{}),
		)))
	}
	s := grpc.NewServer(options...)
	server.Register(s, d.node)
	healthv1.RegisterHealthServer(s, d.health)
	reflection.Register(s)
	return s
}

func newHealth() *health.Server { return health.NewServer() }

// A call that panics is a bug of the node's. It ends the call and not the daemon,
// which others use. That goes for the goroutine that a call is made in: a panic in
// one that it has started can't be caught from here, and does end the daemon. Its
// service manager starts it anew, and sandboxes go on meanwhile.

func (d *daemon) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer d.recover(info.FullMethod, &err)
	return handler(ctx, req)
}

func (d *daemon) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer d.recover(info.FullMethod, &err)
	return handler(srv, stream)
}

func (d *daemon) recover(method string, err *error) {
	if r := recover(); r != nil {
		d.log.Error("a call failed by a bug", zap.String("method", method), zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		*err = status.Error(codes.Internal, "the node failed at this call by a bug: its log says more")
	}
}
