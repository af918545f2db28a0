package daemon

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/systemd"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// newLog returns the daemon's log. Its level can be changed.
func newLog(c LogConfig) (*zap.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, level, err
	}
	format := c.Format
	if format == formatAuto {
		format = formatJSON
		if systemd.JournalConnected() {
			format = formatJournal
		}
	}
	if format == formatJournal {
		core, err := systemd.NewJournalCore("bulkheadd", level)
		if err != nil {
			return nil, level, fmt.Errorf("log.format: %w", err)
		}
		return zap.New(core), level, nil
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	out := zapcore.Lock(os.Stderr)
	if format == formatConsole {
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), out, level)), level, nil
	}
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), out, level)), level, nil
}

// accessLog logs each call: who called what, and how it ended.
type accessLog struct{ log *zap.Logger }

// How many lines of a kind a log has in a time, where anybody who can connect has
// them written.
const (
	seldomTime  = time.Minute
	seldomLines = 20
)

// seldom returns a log with few lines of a kind.
func seldom(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, seldomTime, seldomLines, 0)
	}))
}

// Bounds of what a client can have a line of the log carry, in bytes before they
// are escaped.
const (
	maxWord = 200
	maxText = 2 << 10
)

// clip returns what fits of s, with a sign if that isn't all.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

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
	first := &firstMessage{ServerStream: stream}
	err := handler(srv, first)
	a.write(stream.Context(), info.FullMethod, first.subject, start, err)
	return err
}

// firstMessage is a stream whose first message says what the call is about. Later
// ones are looked at by nobody.
type firstMessage struct {
	grpc.ServerStream
	seen    bool
	subject string
}

// RecvMsg implements grpc.ServerStream.
func (s *firstMessage) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil && !s.seen {
		s.seen, s.subject = true, subject(m)
	}
	return err
}

// subject is the sandbox that a request is about, or empty.
func subject(req any) string {
	switch r := req.(type) {
	case *bulkheadv1.ExecRequest:
		return r.GetStart().GetSandbox()
	case *bulkheadv1.AttachRequest:
		return r.GetStart().GetSandbox()
	case *bulkheadv1.PortForwardRequest:
		return r.GetStart().GetSandbox()
	case *bulkheadv1.WriteFileRequest:
		return r.GetHeader().GetSandbox()
	case about:
		return r.GetSandbox()
	case interface{ GetName() string }:
		return r.GetName()
	}
	return ""
}

func (a accessLog) write(ctx context.Context, method, sandbox string, start time.Time, err error) {
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
		zap.String("method", clip(method, maxWord)), zap.String("client", clip(access.FromContext(ctx).Name, maxWord)),
		zap.Stringer("code", code), zap.Duration("took", time.Since(start)),
	}
	if sandbox != "" {
		fields = append(fields, zap.String("sandbox", clip(sandbox, maxWord)))
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil && p.Addr.Network() != "unix" {
		fields = append(fields, zap.Stringer("peer", p.Addr))
	}
	if err != nil {
		fields = append(fields, zap.String("error", clip(status.Convert(err).Message(), maxText)))
	}
	entry.Write(fields...)
}
