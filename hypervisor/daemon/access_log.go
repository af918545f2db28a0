package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// accessLog logs each call: who called what, and how it ended.
type accessLog struct{ log *zap.Logger }

// Bounds of what a client can have a line of the log carry, in bytes before they
// are escaped.
const (
	maxWord = 200
	maxText = 2 << 10
)

// about is what a request is about, if it says so.
type about interface{ GetSandbox() string }

func (a accessLog) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	answer, err := handler(ctx, req)
	a.write(ctx, info.FullMethod, subject(req), start, err)
	return answer, err
}

func (a accessLog) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	first := &firstMessage{ServerStream: stream, subject: zap.Skip()}
	err := handler(srv, first)
	a.write(stream.Context(), info.FullMethod, first.subject, start, err)
	return err
}

// firstMessage is a stream whose first message says what the call is about. Later
// ones are looked at by nobody.
type firstMessage struct {
	grpc.ServerStream
	seen    bool
	subject zap.Field
}

// RecvMsg implements grpc.ServerStream.
func (s *firstMessage) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && !s.seen {
		s.seen, s.subject = true, subject(m)
	}
	return err
}

// subject is the sandbox that a request is about, or the snapshot, template or pool, if
// any.
func subject(req any) zap.Field {
	switch r := req.(type) {
	case *bulkheadv1.ExecRequest:
		return named("sandbox", r.GetStart().GetSandbox())
	case *bulkheadv1.AttachRequest:
		return named("sandbox", r.GetStart().GetSandbox())
	case *bulkheadv1.PortForwardRequest:
		return named("sandbox", r.GetStart().GetSandbox())
	case *bulkheadv1.WriteFileRequest:
		return named("sandbox", r.GetHeader().GetSandbox())
	case *bulkheadv1.GetSnapshotRequest:
		return named("snapshot", r.GetName())
	case *bulkheadv1.MergeSnapshotRequest:
		return named("snapshot", r.GetName())
	case *bulkheadv1.DeleteSnapshotRequest:
		return named("snapshot", r.GetName())
	case *bulkheadv1.GetTemplateRequest:
		return named("template", r.GetId())
	case *bulkheadv1.DeleteTemplateRequest:
		return named("template", r.GetId())
	case *bulkheadv1.CreatePoolRequest:
		return named("pool", r.GetName())
	case *bulkheadv1.GetPoolRequest:
		return named("pool", r.GetName())
	case *bulkheadv1.UpdatePoolRequest:
		return named("pool", r.GetName())
	case *bulkheadv1.DeletePoolRequest:
		return named("pool", r.GetName())
	case *bulkheadv1.ClaimSandboxRequest:
		return both(named("pool", r.GetPool()), named("sandbox", r.GetName()))
	case *bulkheadv1.ExportSnapshotRequest:
		return named("snapshot", r.GetName())
	case *bulkheadv1.ImportSnapshotRequest:
		return named("snapshot", r.GetHeader().GetName())
	case about:
		return named("sandbox", r.GetSandbox())
	case interface{ GetName() string }:
		return named("sandbox", r.GetName())
	}
	return zap.Skip()
}

func named(what, name string) zap.Field {
	if name == "" {
		return zap.Skip()
	}
	return zap.String(what, clip.Text(name, maxWord))
}

// both is two fields in one.
func both(a, b zap.Field) zap.Field {
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
		a.AddTo(e)
		b.AddTo(e)
		return nil
	}))
}

func (a accessLog) write(ctx context.Context, method string, subject zap.Field, start time.Time, err error) {
	code := status.Code(err)
	level := zapcore.InfoLevel
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated, codes.Internal, codes.Unknown:
		level = zapcore.WarnLevel
	}
	entry := a.log.Check(level, "call")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("method", clip.Text(method, maxWord)), zap.String("client", clip.Text(access.FromContext(ctx).Name, maxWord)),
		zap.Stringer("code", code), zap.Duration("took", time.Since(start)), subject,
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil && p.Addr.Network() != "unix" {
		fields = append(fields, zap.Stringer("peer", p.Addr))
	}
	if err != nil {
		fields = append(fields, zap.String("error", clip.Text(status.Convert(err).Message(), maxText)))
	}
	entry.Write(fields...)
}
