package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// told is what the workers of sandboxes say.
type told map[string]*bulkheadv1.SandboxStats

func (told) Describe(chan<- *prometheus.Desc) {}

func (t told) Collect(out chan<- prometheus.Metric) {
	for sandbox, stats := range t {
		report(sandbox, stats, out)
	}
}

// TestWorkersThatTellNonsense: what one says of its devices doesn't take the
// metrics of others away.
func TestWorkersThatTellNonsense(t *testing.T) {
	device := func(name string) *bulkheadv1.DeviceStats { return &bulkheadv1.DeviceStats{Name: name, Requests: 1} }
	many := &bulkheadv1.SandboxStats{}
	for i := range 1000 {
		many.Devices = append(many.Devices, device(fmt.Sprint("d", i)))
	}
	m := New()
	m.registry.MustRegister(told{
		"good":  {Devices: []*bulkheadv1.DeviceStats{device("disk"), device("net")}},
		"twice": {Devices: []*bulkheadv1.DeviceStats{device("disk"), device("disk")}},
		"long":  {Devices: []*bulkheadv1.DeviceStats{device(strings.Repeat("x", 1000)), device("\xff")}},
		"many":  many,
	})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	if w.Code != 200 {
		t.Fatalf("status %d: %.300s", w.Code, text)
	}
	for sandbox, want := range map[string]int{"good": 2, "twice": 1, "long": 0, "many": maxDevices} {
		lines := 0
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "bulkhead_device_requests_total{") && strings.Contains(line, `sandbox="`+sandbox+`"`) {
				lines++
			}
		}
		if lines != want {
			t.Errorf("%s: %d devices, want %d", sandbox, lines, want)
		}
	}
}
