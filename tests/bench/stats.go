package main

import (
	"math"
	"slices"
)

// median returns the middle of samples, 0 if there are none.
func median(samples []float64) float64 { return quantile(samples, 0.5) }

// quantile returns what a part q of samples, from 0 to 1, is not above; between two
// of them it is their mean by distance.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	low := int(math.Floor(at))
	if low+1 == len(s) {
		return s[low]
	}
	return s[low] + (at-float64(low))*(s[low+1]-s[low])
}

// slope returns by how much y grows where x grows by one: that of the line with the
// least squares. It is 0 where x doesn't grow.
func slope(x, y []float64) float64 {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0
	}
	return (n*sxy - sx*sy) / d
}

// inTurns calls each of do once, in an order that is another for each round: who
// comes first finds other caches than who comes last.
func inTurns(round int, do ...func() error) error {
	for i := range do {
		if err := do[(round+i)%len(do)](); err != nil {
			return err
		}
	}
	return nil
}
