package daemon

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/metrics"

	"go.uber.org/zap"
)

// strangers returns a connection to the daemon's server of somebody whom it
// doesn't know.
func strangers(t *testing.T, d *daemon) *grpc.ClientConn {
	t.Helper()
	d.config, d.log, d.metrics, d.health = Default(), zap.NewNop(), metrics.New(), newHealth()
	s := d.newServer(insecure.NewCredentials())
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

const (
	openMethod   = "/grpc.health.v1.Health/Check"
	closedMethod = "/bulkhead.v1.Sandboxes/DeleteSandbox"
)

// begin begins a call, of which nothing but the headers is sent.
func begin(t *testing.T, conn *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answer(s grpc.ClientStream) error { return s.RecvMsg(&healthv1.HealthCheckResponse{}) }

// TestRequestsThatDontArrive has somebody begin calls and send no requests: few of
// them wait, and none for ever.
func TestRequestsThatDontArrive(t *testing.T) {
	d := &daemon{arrivals: newArrivals()}
	d.arrivals.time = 3 * time.Second
	conn := strangers(t, d)
	var begun []grpc.ClientStream
	for range arrivingNone {
		begun = append(begun, begin(t, conn, openMethod))
	}
	for method, want := range map[string]codes.Code{openMethod: codes.ResourceExhausted, closedMethod: codes.PermissionDenied} {
		if err := answer(begin(t, conn, method)); status.Code(err) != want {
			t.Errorf("%s beyond what may be arriving: %v, want %v", method, err, want)
		}
	}
	for _, s := range begun {
		if err := answer(s); status.Code(err) != codes.Canceled {
			t.Errorf("a request that doesn't arrive: %v", err)
		}
	}
	// Each call that ends leaves room for another.
	for range 3 * arrivingNone {
		if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestArrivedCallsTakeNoPlace: it is requests that are waited for, not ends.
func TestArrivedCallsTakeNoPlace(t *testing.T) {
	d := &daemon{arrivals: newArrivals()}
	d.arrivals.time = 200 * time.Millisecond
	conn := strangers(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watches []grpc.ServerStreamingClient[healthv1.HealthCheckResponse]
	for range 3 * arrivingNone {
		w, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Recv(); err != nil {
			t.Fatal(err)
		}
		watches = append(watches, w)
	}
	time.Sleep(2 * d.arrivals.time)
	d.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	for _, w := range watches {
		if _, err := w.Recv(); err != nil {
			t.Errorf("a stream whose request had arrived: %v", err)
		}
	}
}

// TestLongHeaders are refused, whoever sends them.
func TestLongHeaders(t *testing.T) {
	conn := strangers(t, &daemon{arrivals: newArrivals()})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 2*maxHeader))
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}); err == nil {
		t.Error("they were taken")
	}
}
