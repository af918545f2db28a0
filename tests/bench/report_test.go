package main

import (
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

func TestTable(t *testing.T) {
	r := &report{Host: "some host"}
	r.add(result{Name: "restore", Unit: "ms", Goal: "< 3", Note: "of one", Series: []series{
		{Name: "ours", Samples: []float64{30, 10, 20}}, {Name: "theirs", Samples: []float64{40}},
	}})
	r.add(result{Name: "how many", Series: []series{{Samples: []float64{0}}}})
	line := chart.Line{Points: []chart.Point{{}, {}}}
	r.draw("curve", chart.Chart{Title: "a curve", Lines: []chart.Line{line}})
	r.draw("dot", chart.Chart{Title: "a dot", Lines: []chart.Line{{Points: line.Points[:1]}}})
	got := r.table("out/x")
	for _, want := range []string{
		"some host", "20.0 ms (15.0–25.0)", "theirs 40.0 ms  (0.50)", "goal: < 3", "note: of one",
		"plot: out/x/curve.svg: a curve\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q isn't in\n%s", want, got)
		}
	}
	if strings.Contains(got, "dot") {
		t.Errorf("a plot of one point:\n%s", got)
	}
}
