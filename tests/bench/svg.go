package main

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 900
	labelWidth = 380
	barHeight  = 18
	groupGap   = 14
	margin     = 20
)

// svg draws a group of bars for each result with more than one contestant,
// each group on a scale of its own, with its samples as dots.
func (r *report) svg() string {
	var body strings.Builder
	y := margin
	for _, res := range r.Results {
		if len(res.Series) < 2 {
			continue
		}
		y = group(&body, res, y) + groupGap
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
%s</svg>
`, plotWidth, y+margin, body.String())
}

func group(b *strings.Builder, res result, y int) int {
	most := 0.0
	for _, s := range res.Series {
		for _, v := range append(s.Samples, s.Median) {
			most = max(most, v)
		}
	}
	scale := (plotWidth - labelWidth - 140) / max(most, 1e-9)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", margin, y+12, html.EscapeString(res.Name))
	y += barHeight
	for i, s := range res.Series {
		color := "#9aa5b1"
		if i == 0 {
			color = "#1f6feb"
		}
		width := s.Median * scale
		middle := y + barHeight/2
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, middle+4, html.EscapeString(s.Name))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", labelWidth, y+2, width, barHeight-4, color)
		for _, v := range s.Samples {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="2" fill="black" fill-opacity="0.4"/>`+"\n", labelWidth+v*scale, middle)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+most*scale+8, middle+4, html.EscapeString(value(s.Median, res.Unit)))
		y += barHeight
	}
	return y
}
