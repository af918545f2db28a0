package metrics

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// pools is a node with these, of which it tells a few at a time.
type pools struct {
	all  []*bulkheadv1.Pool
	page int
	err  error // of all pages but the first
}

func (*pools) Describe(chan<- *prometheus.Desc) {}

func (p *pools) Collect(out chan<- prometheus.Metric) { reportPools(p, out) }

// ListPools implements lister.
func (p *pools) ListPools(r *bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error) {
	from, _ := strconv.Atoi(r.GetPageToken())
	if from > 0 && p.err != nil {
		return nil, p.err
	}
	to := min(from+p.page, len(p.all))
	answer := &bulkheadv1.ListPoolsResponse{Pools: p.all[from:to]}
	if to < len(p.all) {
		answer.NextPageToken = strconv.Itoa(to)
	}
	return answer, nil
}

// scrape returns the lines about pools.
func scrape(t *testing.T, p *pools) (lines []string) {
	t.Helper()
	m := New()
	m.registry.MustRegister(p)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %.300s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "bulkhead_pool_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestPools(t *testing.T) {
	python := &bulkheadv1.Pool{Name: "python", Size: 5, Status: &bulkheadv1.PoolStatus{Ready: 3, Starting: 1, WarmClaims: 20, ColdClaims: 2}}
	p := &pools{all: []*bulkheadv1.Pool{python, {Name: "empty"}}, page: 1}
	want := strings.Split(`bulkhead_pool_claims_total{pool="empty",start="cold"} 0
bulkhead_pool_claims_total{pool="empty",start="warm"} 0
bulkhead_pool_claims_total{pool="python",start="cold"} 2
bulkhead_pool_claims_total{pool="python",start="warm"} 20
bulkhead_pool_members{pool="empty",state="ready"} 0
bulkhead_pool_members{pool="empty",state="starting"} 0
bulkhead_pool_members{pool="python",state="ready"} 3
bulkhead_pool_members{pool="python",state="starting"} 1
bulkhead_pool_size{pool="empty"} 0
bulkhead_pool_size{pool="python"} 5`, "\n")
	if got := scrape(t, p); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p.err = errors.New("the disk is gone")
	if got := scrape(t, p); len(got) != 5 {
		t.Errorf("of one page that could be read:\n%s", strings.Join(got, "\n"))
	}
}

// TestManyPools: however many there are, so many are told of.
func TestManyPools(t *testing.T) {
	p := &pools{page: 300}
	for i := range maxPools + 500 {
		p.all = append(p.all, &bulkheadv1.Pool{Name: fmt.Sprintf("p%04d", i)})
	}
	if got := scrape(t, p); len(got) != 5*maxPools {
		t.Errorf("%d lines, want %d", len(got), 5*maxPools)
	}
}
