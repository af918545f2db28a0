package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// lister is what has pools: a node.
type lister interface {
	ListPools(*bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error)
}

// maxPools is how many pools are reported, by the order of their names: nothing keeps
// clients from making empty ones.
const maxPools = 1000

var (
	poolMembers = desc("pool_members", "Members of a pool, by whether they can be claimed.", "pool", "state")
	poolSize    = desc("pool_size", "How many members a pool is to have.", "pool")
	poolClaims  = desc("pool_claims_total", "Claims, by whether a member was ready for them.", "pool", "start")
)

// reportPools tells of as many pools as are reported. A page that can't be read ends it.
func reportPools(node lister, out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	for r, left := (&bulkheadv1.ListPoolsRequest{PageSize: maxPools}), maxPools; left > 0; {
		page, err := node.ListPools(r)
		if err != nil {
			return
		}
		for _, p := range page.GetPools()[:min(len(page.GetPools()), left)] {
			name, s := p.GetName(), p.GetStatus()
			send(poolSize, prometheus.GaugeValue, float64(p.GetSize()), name)
			send(poolMembers, prometheus.GaugeValue, float64(s.GetReady()), name, "ready")
			send(poolMembers, prometheus.GaugeValue, float64(s.GetStarting()), name, "starting")
			send(poolClaims, prometheus.CounterValue, float64(s.GetWarmClaims()), name, "warm")
			send(poolClaims, prometheus.CounterValue, float64(s.GetColdClaims()), name, "cold")
		}
		left -= len(page.GetPools())
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return
		}
	}
}
