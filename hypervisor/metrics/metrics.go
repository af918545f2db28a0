// Package metrics counts what a node does, for Prometheus.
package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Metrics implements node.Observer. Its methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry

	starts *prometheus.HistogramVec // by phase
	exits  *prometheus.CounterVec   // by reason
	calls  *prometheus.HistogramVec // by method and code
	pauses prometheus.Histogram
}

var _ node.Observer = (*Metrics)(nil)

// startBuckets reach from a restore to a boot on emulated processors, in seconds.
var startBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 60}

// New returns metrics of which nothing has been counted.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		starts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bulkhead_start_seconds", Help: "Time from the begin of a sandbox's start until each of its phases was over.", Buckets: startBuckets,
		}, []string{"phase"}),
		exits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_exits_total", Help: "Runs of sandboxes that ended, by the reason.",
		}, []string{"reason"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "bulkhead_api_seconds", Help: "How long calls of the API took, streams from their begin to their end.", Buckets: prometheus.ExponentialBuckets(.001, 4, 10),
		}, []string{"method", "code"}),
		pauses: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bulkhead_snapshot_pause_seconds", Help: "How long sandboxes stood still while they were saved.", Buckets: startBuckets,
		}),
	}
	m.registry.MustRegister(m.starts, m.exits, m.calls, m.pauses,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Watch adds what can be seen of a node.
func (m *Metrics) Watch(n *node.Node) { m.registry.MustRegister(&collector{node: n}) }

// maxScrapes is how many may ask at once: each has all workers asked.
const maxScrapes = 4

// Handler serves what was counted. What can't be told of one sandbox is left out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes,
	})
}

// Started implements node.Observer.
func (m *Metrics) Started(s *bulkheadv1.SandboxStatus) {
	for _, p := range s.GetPhases() {
		m.starts.WithLabelValues(p.GetName()).Observe(p.GetAfter().AsDuration().Seconds())
	}
}

// Ended implements node.Observer.
func (m *Metrics) Ended(e *bulkheadv1.SandboxExit) {
	m.exits.WithLabelValues(label(e.GetReason().String(), "EXIT_REASON_")).Inc()
}

// Saved implements node.Observer.
func (m *Metrics) Saved(s *bulkheadv1.Snapshot) {
	m.pauses.Observe(s.GetPause().AsDuration().Seconds())
}

// Unary times calls.
func (m *Metrics) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	answer, err := handler(ctx, req)
	m.called(info.FullMethod, err, time.Since(start))
	return answer, err
}

// Stream times streams.
func (m *Metrics) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	m.called(info.FullMethod, err, time.Since(start))
	return err
}

func (m *Metrics) called(method string, err error, took time.Duration) {
	m.calls.WithLabelValues(method, status.Code(err).String()).Observe(took.Seconds())
}
