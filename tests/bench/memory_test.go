package main

import "testing"

func TestMemAvailable(t *testing.T) {
	got, err := parseMemAvailable("MemTotal:       24684048 kB\nMemFree:        1 kB\nMemAvailable:   23000000 kB\nBuffers: 5 kB\n")
	if err != nil || got != 23000000<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parseMemAvailable("MemTotal: 1 kB\n"); err == nil {
		t.Error("a host that doesn't say")
	}
	if now, err := memAvailable(); err != nil || now == 0 {
		t.Errorf("this host has %d, %v", now, err)
	}
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		available, each uint64
		want            int
	}{
		{spareMemory + 1000, 100, 10},
		{spareMemory + 99, 100, 0},
		{spareMemory - 1, 100, 0}, // less than is to be left
		{spareMemory + 1000, 0, 0},
	} {
		if got := room(tt.available, tt.each); got != tt.want {
			t.Errorf("%d of %d each: %d, want %d", tt.available, tt.each, got, tt.want)
		}
	}
}
