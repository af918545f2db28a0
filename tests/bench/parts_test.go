package main

import (
	"slices"
	"testing"
)

func TestChosen(t *testing.T) {
	all := options{starts: 1, boots: 2, forks: numbers{1}, forkRounds: 1, siblings: 5}
	for _, tt := range []struct {
		only string
		want []string
	}{
		{"", []string{"starts", "boots", "forks", "siblings"}},
		{"siblings,starts", []string{"starts", "siblings"}},
		{"forks", []string{"forks"}},
		{"dirty", nil}, // which is left out by its own flag
	} {
		o := all
		o.only = tt.only
		chosen, err := (&bench{options: o}).chosen()
		var names []string
		for _, p := range chosen {
			names = append(names, p.name)
		}
		if err != nil || !slices.Equal(names, tt.want) {
			t.Errorf("-only %q: %v, %v, want %v", tt.only, names, err, tt.want)
		}
	}
	all.only = "forks,spoons"
	if _, err := (&bench{options: all}).chosen(); err == nil {
		t.Error("a part that there isn't")
	}
}
