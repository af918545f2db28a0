package main

import (
	"path/filepath"
	"slices"

	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

// plot is a chart and the name of its file.
type plot struct {
	File string `json:"file"`
	chart.Chart
}

// draw keeps a chart that is to be a file of that name. Without a second point there
// is nothing to see.
func (r *report) draw(name string, c chart.Chart) {
	if len(c.Lines[0].Points) > 1 {
		r.Plots = append(r.Plots, plot{name + ".svg", c})
	}
}

// savePlots writes the charts to a directory.
func (r *report) savePlots(dir string) error {
	for _, p := range r.Plots {
		if err := p.Save(filepath.Join(dir, p.File)); err != nil {
			return err
		}
	}
	return nil
}

// point is the median of samples at x, with the least and the most, all times scale.
func point(x int, samples []float64, scale float64) chart.Point {
	return chart.Point{
		X: float64(x), Y: scale * median(samples), Low: scale * slices.Min(samples), High: scale * slices.Max(samples),
	}
}
