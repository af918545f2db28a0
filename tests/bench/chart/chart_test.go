package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/bench/chart"
)

func TestSave(t *testing.T) {
	for _, log := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "c.svg")
		c := chart.Chart{Title: "the title", X: "copies", Y: "seconds", Log: log, Lines: []chart.Line{
			{Name: "all of them", Points: points(1, 2, 1, 3, 10, 5, 5, 5, 100, 40, 30, 50)},
			{Name: "each", Points: points(1, 2, 2, 2)},
		}}
		if err := c.Save(path); err != nil {
			t.Fatal(err)
		}
		words := text(t, path)
		for _, want := range []string{"the title", "copies", "seconds", "all of them", "each", "100"} {
			if !strings.Contains(words, want) {
				t.Errorf("%q isn't in the picture, which says %q", want, words)
			}
		}
	}
}

// points takes four numbers for each.
func points(v ...float64) (all []chart.Point) {
	for ; len(v) > 0; v = v[4:] {
		all = append(all, chart.Point{X: v[0], Y: v[1], Low: v[2], High: v[3]})
	}
	return all
}

// text returns what an SVG file says, which has to be one.
func text(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var words strings.Builder
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return words.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			words.Write(text)
		}
	}
}

func TestWhatCantBeDrawn(t *testing.T) {
	for name, c := range map[string]chart.Chart{
		"no points":       {Lines: []chart.Line{{}}},
		"not a number":    {Lines: []chart.Line{{Points: points(0, math.NaN(), 0, 0)}}},
		"logarithm of 0":  {Log: true, Lines: []chart.Line{{Points: points(0, 1, 1, 1)}}},
		"spread beyond 0": {Log: true, Lines: []chart.Line{{Points: points(1, 1, 0, 1)}}},
	} {
		if err := c.Save(filepath.Join(t.TempDir(), "c.svg")); err == nil {
			t.Errorf("%s: it was drawn", name)
		}
	}
}
