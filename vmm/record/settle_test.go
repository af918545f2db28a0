package record

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestSettle has output on its way when the machine ends, from a device that holds
// some of it back.
func TestSettle(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	s.Settle() // nothing is recorded
	c := g.config(t)
	conn := g.start(t, s, c)[0]
	text := strings.Repeat("x", 1000) + "\n"
	go func() {
		for range 20 {
			io.WriteString(conn, strings.Repeat(text, 100))
			time.Sleep(settleTime / 50)
		}
		io.WriteString(conn, "the last\n")
	}()
	for len(g.read(t, c)) == 0 { // it has begun
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	s.Settle()
	if d := time.Since(start); d < settleTime || d > drainTime+time.Second {
		t.Errorf("it took %v", d)
	}
	s.hangUp() // all the rest of it would be lost
	got := strings.ReplaceAll(strings.Join(waitLog(t, c.Log.Path), ""), "out: ", "")
	if got != strings.Repeat(text, 2000)+"the last\n" {
		t.Errorf("%d bytes, want %d", len(got), 2000*len(text)+len("the last\n"))
	}
}

// TestSettleEnds has a stream that never rests.
func TestSettleEnds(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	conn := g.start(t, s, g.config(t))[0]
	go func() {
		for err := error(nil); err == nil; time.Sleep(settleTime / 10) {
			_, err = io.WriteString(conn, "x\n")
		}
	}()
	start := time.Now()
	s.Settle()
	if d := time.Since(start); d > 2*drainTime {
		t.Errorf("it took %v", d)
	}
	s.hangUp()
}
