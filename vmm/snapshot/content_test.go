package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// TestLayeredContent holds what layers are to be read as against what they are mapped
// as.
func TestLayeredContent(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t)
	for i := range 4 {
		m.write(byte(i+1), 3*i, 3*i+1, 100, 101, 8191-i)
		m.write(0, 50+i) // touched, and a hole of its layer
		m.save(filepath.Join(dir, string(rune('a'+i))), false)
	}
	s, err := Open(filepath.Join(dir, "d"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, want := s.Content(), m.ram()
	got := make([]byte, len(want))
	if n, err := c.ReadAt(got, 0); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	same(t, "all", got, want)
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		from := r.IntN(len(want))
		b := got[:min(r.IntN(5*pageSize), len(want)-from)]
		if n, err := c.ReadAt(b, int64(from)); n != len(b) || err != nil || !bytes.Equal(b, want[from:from+n]) {
			t.Fatalf("%d bytes at %d: %d, %v", len(b), from, n, err)
		}
	}
	if n, err := c.ReadAt(got[:10], int64(len(want)-4)); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	limit, zeroes := uint64(len(want)), 0
	for from := uint64(0); from < limit; {
		to, zero := c.Extent(from, limit)
		if to <= from || to > limit || to%pageSize != 0 {
			t.Fatalf("from %d to %d", from, to)
		}
		if zero {
			zeroes++
			if fullPages(want[from:to]) > 0 {
				t.Fatalf("there is something between %d and %d", from, to)
			}
		}
		from = to
	}
	if zeroes == 0 {
		t.Error("there are no holes")
	}
}
