package main

import (
	"testing"
	"time"
)

func TestGraceTime(t *testing.T) {
	for given, want := range map[string]time.Duration{"0": 0, "10": 10 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second} {
		var g graceTime
		if err := g.Set(given); err != nil || time.Duration(g) != want {
			t.Errorf("%s: %v, %v", given, &g, err)
		}
	}
	for _, bad := range []string{"", "-1", "-1s", "ten", "1.5", "99999999999"} {
		g := graceTime(defaultGrace)
		if err := g.Set(bad); err == nil || time.Duration(g) != defaultGrace {
			t.Errorf("%s: %v, %v", bad, &g, err)
		}
	}
}
