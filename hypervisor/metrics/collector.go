package metrics

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// askTime is how long all workers may take to answer; those that take longer
	// are left out.
	askTime = 2 * time.Second
	// atOnce is how many are asked at a time.
	atOnce = 16
)

// collector looks at a node when somebody asks.
type collector struct{ node *node.Node }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("bulkhead_"+name, help, labels, nil)
}

var (
	sandboxes   = desc("sandboxes", "Sandboxes there are, by state.", "state")
	snapshots   = desc("snapshots", "Snapshots there are.")
	templates   = desc("templates", "Templates there are.")
	draining    = desc("draining", "Whether the node is being drained.")
	allocatable = desc("allocatable", "What sandboxes may be given, in CPUs and bytes.", "resource")
	allocated   = desc("allocated", "What sandboxes were given, in CPUs and bytes.", "resource")

	cpuTime  = desc("sandbox_cpu_seconds_total", "Processor time of a sandbox's worker, its guest's included.", "sandbox")
	memory   = desc("sandbox_memory_bytes", "Memory of the host that lies in a sandbox's guest.", "sandbox")
	overhead = desc("sandbox_overhead_bytes", "Memory of the host that a sandbox's worker takes beyond its guest.", "sandbox")
	requests = desc("device_requests_total", "Requests that a device took from its guest.", "sandbox", "device")
	sent     = desc("device_transmitted_bytes_total", "Bytes that a device took from its guest.", "sandbox", "device")
	received = desc("device_received_bytes_total", "Bytes that a device gave to its guest.", "sandbox", "device")
	breaches = desc("device_breaches_total", "How often a guest's driver broke a device's protocol.", "sandbox", "device")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sandboxes, snapshots, templates, draining, allocatable, allocated, cpuTime, memory, overhead, requests, sent, received, breaches, poolMembers, poolSize, poolClaims} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if total, given, drains, err := c.node.Share(); err == nil {
		gauge(draining, map[bool]float64{true: 1}[drains])
		for d, r := range map[*prometheus.Desc]*bulkheadv1.Resources{allocatable: total, allocated: given} {
			gauge(d, r.GetCpus(), "cpus")
			gauge(d, float64(r.GetMemoryBytes()), "memory")
		}
	}
	if n, err := c.node.CountSnapshots(); err == nil {
		gauge(snapshots, float64(n))
	}
	if n, err := c.node.CountTemplates(); err == nil {
		gauge(templates, float64(n))
	}
	reportPools(c.node, out)
	all := c.node.All()
	states := map[bulkheadv1.SandboxState]int{}
	for _, s := range all {
		states[s.GetStatus().GetState()]++
	}
	for state, name := range bulkheadv1.SandboxState_name {
		if state != 0 {
			gauge(sandboxes, float64(states[bulkheadv1.SandboxState(state)]), label(name, "SANDBOX_STATE_"))
		}
	}
	c.ask(all, out)
}

// ask asks the workers of all sandboxes that run.
func (c *collector) ask(all []*bulkheadv1.Sandbox, out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	var asked sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, s := range all {
		if s.GetStatus().GetState() != bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
			continue
		}
		places <- struct{}{}
		asked.Go(func() {
			defer func() { <-places }()
			if stats, err := c.node.Stats(ctx, s.GetName()); err == nil {
				report(s.GetName(), stats, out)
			}
		})
	}
	asked.Wait()
}

func report(sandbox string, s *bulkheadv1.SandboxStats, out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, v, append([]string{sandbox}, labels...)...)
	}
	send(cpuTime, prometheus.CounterValue, (s.GetUserTime().AsDuration() + s.GetSystemTime().AsDuration()).Seconds())
	send(memory, prometheus.GaugeValue, float64(s.GetMemoryBytes()))
	send(overhead, prometheus.GaugeValue, float64(s.GetOverheadBytes()))
	for _, d := range devices(s.GetDevices()) {
		send(requests, prometheus.CounterValue, float64(d.GetRequests()), d.GetName())
		send(sent, prometheus.CounterValue, float64(d.GetTransmittedBytes()), d.GetName())
		send(received, prometheus.CounterValue, float64(d.GetReceivedBytes()), d.GetName())
		send(breaches, prometheus.CounterValue, float64(d.GetBreaches()), d.GetName())
	}
}

// What a worker says of its devices: it may be a guest's by now.
const (
	maxDevices    = 64 // more than the machine has places for
	maxDeviceName = 32 // bytes
)

// devices returns those that can be reported: one of each name.
func devices(all []*bulkheadv1.DeviceStats) (good []*bulkheadv1.DeviceStats) {
	seen := map[string]bool{}
	for _, d := range all[:min(len(all), maxDevices)] {
		if name := d.GetName(); !seen[name] && len(name) <= maxDeviceName && utf8.ValidString(name) {
			seen[name] = true
			good = append(good, d)
		}
	}
	return good
}

// label is an enum's name as labels have it.
func label(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }
