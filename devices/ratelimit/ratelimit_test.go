package ratelimit

import (
	"math"
	"testing"
	"time"
)

// clock is time that passes when told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// run has operations of n bytes pass for d, each wait late by late, and
// returns the bytes that passed.
func (c *clock) run(l *Limiter, n int, d, late time.Duration) (passed uint64) {
	for end := c.t.Add(d); c.t.Before(end); {
		if wait := l.Take(1, n); wait > 0 {
			c.t = c.t.Add(wait + late)
			continue
		}
		passed += uint64(n)
	}
	return passed
}

func newTest(c Config) (*Limiter, *clock) {
	clk := &clock{time.Unix(1, 0)}
	l := &Limiter{now: clk.now}
	l.Set(c)
	return l, clk
}

// TestAccuracy lets time pass after the first burst and counts ten seconds.
func TestAccuracy(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name  string
		c     Config
		size  int
		bytes float64 // a second
		late  time.Duration
	}{
		{"bytes", Config{Bytes: Rate{PerSecond: 10 * mib}}, 4096, 10 * mib, 0},
		{"late timers", Config{Bytes: Rate{PerSecond: 10 * mib}}, 4096, 10 * mib, 5 * time.Millisecond},
		{"operations larger than the bucket", Config{Bytes: Rate{PerSecond: 10 * mib}}, mib, 10 * mib, time.Millisecond},
		{"operations of more than a second", Config{Bytes: Rate{PerSecond: mib}}, 2 * mib, mib, 0},
		{"operations", Config{Operations: Rate{PerSecond: 500}}, 4096, 500 * 4096, time.Millisecond},
		{"few operations", Config{Operations: Rate{PerSecond: 3}}, 4096, 3 * 4096, time.Millisecond},
		{"both, bytes are fewer", Config{Bytes: Rate{PerSecond: mib}, Operations: Rate{PerSecond: 1000}}, 4096, mib, 0},
		{"both, operations are fewer", Config{Bytes: Rate{PerSecond: 100 * mib}, Operations: Rate{PerSecond: 100}}, 4096, 100 * 4096, 0},
		{"a large burst", Config{Bytes: Rate{PerSecond: mib, Burst: 5 * mib}}, 4096, mib, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, clk := newTest(tt.c)
			clk.run(l, tt.size, time.Second, tt.late) // the burst
			const seconds = 20
			got := float64(clk.run(l, tt.size, seconds*time.Second, tt.late)) / seconds
			slack := float64(tt.size) / seconds // one operation more or less
			if math.Abs(got-tt.bytes) > tt.bytes/100+slack {
				t.Errorf("%.0f bytes a second, want %.0f", got, tt.bytes)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	l, clk := newTest(Config{Bytes: Rate{PerSecond: 1000, Burst: 5000}})
	for range 2 {
		if got := clk.run(l, 100, time.Nanosecond, 0); got != 5000 {
			// run ends with the first wait, when the bucket is empty
			t.Errorf("a burst of %d, want 5000", got)
		}
		clk.t = clk.t.Add(time.Hour)
	}
}

func TestUnlimited(t *testing.T) {
	var none *Limiter
	for name, l := range map[string]*Limiter{"nil": none, "zero": New(Config{})} {
		for range 1000 {
			if l.Take(1, math.MaxInt) != 0 {
				t.Fatalf("%s: has to wait", name)
			}
		}
	}
}

// TestSet frees who would have waited for hours.
func TestSet(t *testing.T) {
	l, clk := newTest(Config{Bytes: Rate{PerSecond: 1}})
	l.Take(1, 1<<20)
	if d := l.Take(1, 1); d != Nap {
		t.Errorf("wait %v, want naps of %v", d, Nap)
	}
	l.Set(Config{Bytes: Rate{PerSecond: 1 << 30}})
	clk.t = clk.t.Add(2 * time.Millisecond)
	if d := l.Take(1, 1); d != 0 {
		t.Errorf("wait %v after the rate was raised", d)
	}
	l.Set(Config{})
	for range 1000 {
		if l.Take(1, 1<<30) != 0 {
			t.Fatal("has to wait without a limit")
		}
	}
}

// TestRealTime measures a second against the real clock; what a busy machine
// adds only makes it slower.
func TestRealTime(t *testing.T) {
	l := New(Config{Bytes: Rate{PerSecond: 100 << 20}})
	start, passed := time.Now(), 0
	for time.Since(start) < time.Second {
		if d := l.Take(1, 64<<10); d > 0 {
			time.Sleep(d)
			continue
		}
		passed += 64 << 10
	}
	if most := 102 << 20; passed > most {
		t.Errorf("%d bytes passed, at most %d may", passed, most)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New(Config{Bytes: Rate{PerSecond: math.MaxUint64 >> 12}, Operations: Rate{PerSecond: 1 << 50}})
	b.ReportAllocs()
	for b.Loop() {
		l.Take(1, 4096)
	}
}
