package main

import (
	"context"
	"errors"
	"slices"
	"strings"
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

// TestPartFails has the others go on, and the run fail.
func TestPartFails(t *testing.T) {
	measured := 0
	parts := []part{
		{name: "bad", measure: func(*bench) error { return errors.New("no luck") }},
		{name: "good", measure: func(*bench) error { measured++; return nil }},
	}
	err := (&bench{ctx: t.Context()}).measure(parts)
	if err == nil || !strings.Contains(err.Error(), "bad: no luck") || measured != 1 {
		t.Errorf("%v, the other one %d times", err, measured)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&bench{ctx: ctx}).measure(parts); !errors.Is(err, context.Canceled) || measured != 1 {
		t.Errorf("ended: %v, the other one %d times", err, measured)
	}
}
