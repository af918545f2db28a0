package iovec

import (
	"bytes"
	"testing"
)

func TestCut(t *testing.T) {
	bufs := [][]byte{[]byte("ab"), []byte("c"), nil, []byte("defg")}
	for _, tt := range []struct {
		off, n int
		want   string
	}{{0, 7, "ab|c|defg"}, {1, 3, "b|c|d"}, {2, 3, "c|de"}, {3, 1, "d"}, {5, 9, "fg"}, {7, 1, ""}, {0, 0, ""}} {
		if got := string(bytes.Join(Cut(nil, bufs, tt.off, tt.n), []byte("|"))); got != tt.want {
			t.Errorf("Cut(%d, %d) = %q, want %q", tt.off, tt.n, got, tt.want)
		}
	}
	if n := Len(bufs); n != 7 {
		t.Errorf("Len = %d", n)
	}
}
