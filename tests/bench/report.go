package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// report collects measurements.
type report struct {
	Host    string   `json:"host"` // what it is, and when it was measured
	Results []result `json:"results"`
	Plots   []plot   `json:"plots,omitempty"`
}

// result is one quantity, measured for one or more contestants in turns.
type result struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Goal string `json:"goal,omitempty"`
	Note string `json:"note,omitempty"` // what else there is to know
	// Series has the samples of each contestant, ours first.
	Series []series `json:"series"`
}

type series struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
	// A quarter of the samples is below the one, and a quarter above the other.
	LowerQuartile float64 `json:"lower_quartile"`
	UpperQuartile float64 `json:"upper_quartile"`
}

// add appends a result and says so, as a long run's sign of life.
func (r *report) add(res result) {
	for i := range res.Series {
		s := &res.Series[i]
		s.Median, s.LowerQuartile, s.UpperQuartile = median(s.Samples), quantile(s.Samples, 0.25), quantile(s.Samples, 0.75)
	}
	r.Results = append(r.Results, res)
	fmt.Fprintf(os.Stderr, "measured %s\n", res.Name)
}

// table lists every result: our median and the quartiles, the others', the ratios of
// ours to each, and the plots, which are in dir.
func (r *report) table(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n%-50s %14s %-19s %s\n", r.Host, "", "bulkhead", "(quartiles)", "others (ratio of ours to theirs)")
	for _, res := range r.Results {
		ours := res.Series[0]
		fmt.Fprintf(&b, "%-50s %14s %-19s", res.Name, value(ours.Median, res.Unit), ours.spread())
		for _, s := range res.Series[1:] {
			fmt.Fprintf(&b, "   %s %s %s", s.Name, value(s.Median, res.Unit), s.spread())
			if s.Median > 0 {
				fmt.Fprintf(&b, " (%.2f)", ours.Median/s.Median)
			}
		}
		for _, remark := range []struct{ kind, text string }{{"goal", res.Goal}, {"note", res.Note}} {
			if remark.text != "" {
				fmt.Fprintf(&b, "   %s: %s", remark.kind, remark.text)
			}
		}
		b.WriteByte('\n')
	}
	for _, p := range r.Plots {
		fmt.Fprintf(&b, "plot: %s: %s\n", filepath.Join(dir, p.File), p.Title)
	}
	return b.String()
}

// spread is the quartiles of a few samples or more.
func (s series) spread() string {
	if len(s.Samples) < 3 {
		return ""
	}
	return fmt.Sprintf("(%s–%s)", number(s.LowerQuartile), number(s.UpperQuartile))
}

func value(v float64, unit string) string { return strings.TrimSpace(number(v) + " " + unit) }

// number writes as many digits as matter.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case size >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
