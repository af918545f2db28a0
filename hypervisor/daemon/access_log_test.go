package daemon

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestLongWordsInTheLog has a client send as much as it may, which comes back in
// the error, too.
func TestLongWordsInTheLog(t *testing.T) {
	long := strings.Repeat("\x1b", 4<<20)
	var out bytes.Buffer
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.InfoLevel))
	_, err := accessLog{log}.unary(context.Background(), &bulkheadv1.GetSandboxRequest{Name: long}, &grpc.UnaryServerInfo{FullMethod: "/x"},
		func(context.Context, any) (any, error) { return nil, status.Error(codes.NotFound, long) })
	if status.Code(err) != codes.NotFound || out.Len() == 0 || out.Len() > 16<<10 {
		t.Errorf("%d bytes are logged", out.Len())
	}
}

// TestSubjects has calls say what they are about.
func TestSubjects(t *testing.T) {
	for _, tt := range []struct {
		request any
		want    map[string]any
	}{
		{&bulkheadv1.GetSandboxRequest{Name: "box"}, map[string]any{"sandbox": "box"}},
		{&bulkheadv1.GetSandboxRequest{}, map[string]any{}},
		{&bulkheadv1.DeleteTemplateRequest{Id: "sha256:1"}, map[string]any{"template": "sha256:1"}},
		{&bulkheadv1.CreatePoolRequest{Name: "python"}, map[string]any{"pool": "python"}},
		{&bulkheadv1.GetPoolRequest{Name: "python"}, map[string]any{"pool": "python"}},
		{&bulkheadv1.UpdatePoolRequest{Name: "python"}, map[string]any{"pool": "python"}},
		{&bulkheadv1.DeletePoolRequest{Name: "python"}, map[string]any{"pool": "python"}},
		{&bulkheadv1.ListPoolsRequest{}, map[string]any{}},
		{&bulkheadv1.ClaimSandboxRequest{Pool: "python", Name: "box"}, map[string]any{"pool": "python", "sandbox": "box"}},
		{&bulkheadv1.ClaimSandboxRequest{Pool: "python"}, map[string]any{"pool": "python"}},
	} {
		e := zapcore.NewMapObjectEncoder()
		subject(tt.request).AddTo(e)
		if !maps.Equal(e.Fields, tt.want) {
			t.Errorf("%T is about %v, not %v", tt.request, e.Fields, tt.want)
		}
	}
}

// TestFloodOfLines: those that anybody can cause are few, and hide no others.
func TestFloodOfLines(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	log := seldom(zap.New(core))
	for range 10_000 {
		log.Warn("connection refused")
	}
	log.Error("certificates stay as they were")
	if n := logs.FilterMessage("connection refused").Len(); n == 0 || n > 3*seldomLines {
		t.Errorf("%d lines", n)
	}
	if logs.FilterMessage("certificates stay as they were").Len() != 1 {
		t.Error("a flood of one kind hides another")
	}
}
