package daemon

import (
	"context"
	"encoding/hex"
	"net"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// traces is a collector.
type traces struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

// Export implements collector.TraceServiceServer.
func (s *traces) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

// TestTracing: a collector hears of a call that is part of its client's trace, at
// the latest when the daemon ends.
func TestTracing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink, s := &traces{got: make(chan *collector.ExportTraceServiceRequest, 100)}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, sink)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	h := newHost(t, "[tracing]\nendpoint = \""+l.Addr().String()+"\"\ninsecure = true\n")
	d := h.start()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	_, err = h.dial().ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{})
	h.must(err)
	d.stop()
	for late := time.After(10 * time.Second); ; {
		select {
		case r := <-sink.got:
			if hasSpan(r, "bulkhead.v1.Sandboxes/ListSandboxes", trace) {
				return
			}
		case <-late:
			t.Fatal("the collector hasn't heard of the call")
		}
	}
}

// hasSpan reports whether there is a span of a name and a trace.
func hasSpan(r *collector.ExportTraceServiceRequest, name, trace string) bool {
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				if span.GetName() == name && hex.EncodeToString(span.GetTraceId()) == trace {
					return true
				}
			}
		}
	}
	return false
}
