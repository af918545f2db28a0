package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// report collects measurements.
type report struct {
	Host    string   `json:"host"`
	Results []result `json:"results"`
}

// result is one quantity, measured for one or more contestants in turns.
type result struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Goal string `json:"goal,omitempty"`
	// Series has the samples of each contestant, ours first.
	Series []series `json:"series"`
}

type series struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
}

// add appends a result and says so, as a long run's sign of life.
func (r *report) add(res result) {
	for i := range res.Series {
		res.Series[i].Median = median(res.Series[i].Samples)
	}
	r.Results = append(r.Results, res)
	fmt.Fprintf(os.Stderr, "measured %s\n", res.Name)
}

func median(samples []float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// table lists every result: our median, the others', and the ratios of ours to
// each.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-46s %14s   %s\n", "", "bulkhead", "others (ratio of ours to theirs)")
	for _, res := range r.Results {
		fmt.Fprintf(&b, "%-46s %14s", res.Name, value(res.Series[0].Median, res.Unit))
		for _, s := range res.Series[1:] {
			fmt.Fprintf(&b, "   %s %s", s.Name, value(s.Median, res.Unit))
			if s.Median > 0 {
				fmt.Fprintf(&b, " (%.2f)", res.Series[0].Median/s.Median)
			}
		}
		if res.Goal != "" {
			fmt.Fprintf(&b, "   goal: %s", res.Goal)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func value(v float64, unit string) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	case v >= 1:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.3f %s", v, unit)
}
