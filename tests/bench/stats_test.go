package main

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		samples []float64
		q, want float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.25, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{0, 10, 20, 30, 40}, 0.25, 10},
		{[]float64{0, 10, 20, 30, 40}, 1, 40},
		{[]float64{0, 10}, 0.75, 7.5},
	} {
		if got := quantile(tt.samples, tt.q); got != tt.want {
			t.Errorf("%v of %v is %v, want %v", tt.q, tt.samples, got, tt.want)
		}
	}
}

func TestSlope(t *testing.T) {
	for _, tt := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 5}, []float64{13, 16, 25}, 3},
		{[]float64{0, 1, 2}, []float64{0, 3, 3}, 1.5},
		{[]float64{4}, []float64{9}, 0},
	} {
		if got := slope(tt.x, tt.y); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%v over %v: %v, want %v", tt.y, tt.x, got, tt.want)
		}
	}
}

func TestInTurns(t *testing.T) {
	var order []int
	turn := func(i int) func() error { return func() error { order = append(order, i); return nil } }
	for round := range 2 {
		if err := inTurns(round, turn(0), turn(1), turn(2)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{0, 1, 2, 1, 2, 0}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
	stop := errors.New("stop")
	if err := inTurns(0, func() error { return stop }, turn(9)); err != stop || slices.Contains(order, 9) {
		t.Errorf("after an error: %v, %v", err, order)
	}
}
