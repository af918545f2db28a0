package virtiotest

import (
	"runtime"
	"testing"
)

// Round makes chains from Prepare available on queue i, all at once, kicks, and
// waits until all are back.
func (h *Harness) Round(i int, heads []uint16) {
	h.Queues[i].Again(heads)
	if err := h.kicks[i].Signal(); err != nil {
		h.t.Fatal(err)
	}
	h.WaitBack(i)
}

// WaitBack waits until every chain of queue i is back. Unlike WaitUsed it has
// no end to its patience: a timer would be measured as well.
func (h *Harness) WaitBack(i int) {
	for !h.Queues[i].AllBack() {
		if _, err := h.interrupts[i].Wait(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// Bench times rounds of n requests, so that what the driver's side costs is
// shared by n: its kick, and two threads that wake each other up. Per request
// it reports the bytes moved, if any, and objects/op, what the whole process
// allocates: as a fraction, where allocs/op would round it down.
func Bench(b *testing.B, n, bytes int, round func()) {
	b.Helper()
	round() // what is only made once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for left := 0; b.Loop(); left-- {
		if left == 0 {
			round()
			left = n
		}
	}
	runtime.ReadMemStats(&after)
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "objects/op")
}
