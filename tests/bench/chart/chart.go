// Package chart draws lines of measurements.
package chart

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Size of a chart, and how much of it is above the highest point.
const (
	width    = 7 * vg.Inch
	height   = 4.5 * vg.Inch
	headroom = 1.3
)

// Chart is a picture of some lines with the same axes.
type Chart struct {
	Title string `json:"title"`
	X     string `json:"x"` // what it is, and its unit
	Y     string `json:"y"`
	// Log has both axes be logarithmic: all values must be above 0 then.
	Log   bool   `json:"log,omitempty"`
	Lines []Line `json:"lines"`
}

// Line is what was measured of one kind, in the order of X.
type Line struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Point is a measurement: its middle and its spread, which may be none.
type Point struct {
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Save draws the chart to a file, whose kind is by its name: .svg, .png, .pdf.
func (c Chart) Save(path string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	p.Legend.Top, p.Legend.Left = true, true
	p.Title.Padding, p.Legend.Padding = vg.Points(8), vg.Points(2)
	p.Add(plotter.NewGrid())
	if c.Log {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.X.Min, p.Y.Min = 0, 0
	}
	for i, l := range c.Lines {
		if err := c.check(l); err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		if err := add(p, l, colors[i%len(colors)]); err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
	}
	p.Y.Max *= headroom // for the legend
	if err := p.Save(width, height, path); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return nil
}

// colors are told apart by those who see few, too.
var colors = []color.Color{
	color.RGBA{0x1f, 0x6f, 0xeb, 0xff}, color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, color.RGBA{0x6b, 0x72, 0x80, 0xff},
}

// check refuses what can't be drawn, of which the library panics.
func (c Chart) check(l Line) error {
	if len(l.Points) == 0 {
		return fmt.Errorf("line %q has no points", l.Name)
	}
	for _, p := range l.Points {
		for _, v := range []float64{p.X, p.Y, p.Low, p.High} {
			if math.IsNaN(v) || math.IsInf(v, 0) || c.Log && v <= 0 {
				return fmt.Errorf("line %q has a point at %v", l.Name, p)
			}
		}
	}
	return nil
}

// add draws a line, its points and their spread.
func add(p *plot.Plot, l Line, c color.Color) error {
	values := spread(l.Points)
	line, points, err := plotter.NewLinePoints(values)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(values)
	if err != nil {
		return err
	}
	line.Color, points.Color, bars.Color = c, c, c
	line.Width, points.Shape = vg.Points(1.5), draw.CircleGlyph{}
	p.Add(line, points, bars)
	p.Legend.Add(l.Name, line, points)
	return nil
}

// spread is points as package plotter takes them.
type spread []Point

// Len implements plotter.XYer.
func (s spread) Len() int { return len(s) }

// XY implements plotter.XYer.
func (s spread) XY(i int) (x, y float64) { return s[i].X, s[i].Y }

// YError implements plotter.YErrorer.
func (s spread) YError(i int) (low, high float64) { return s[i].Y - s[i].Low, s[i].High - s[i].Y }
