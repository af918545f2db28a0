package memory

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRelease(t *testing.T) {
	m, err := New(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b, err := m.Slice(1<<20, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	fill := func() {
		for i := range b {
			b[i] = 0xaa
		}
	}
	tests := []struct {
		name     string
		from, to int
		gone     [2]int // what reads zero afterwards
	}{
		{"pages", 4096, 16384, [2]int{4096, 16384}},
		{"unaligned", 100, 16000, [2]int{4096, 12288}},
		{"less than a page", 100, 4200, [2]int{}},
		{"two halves of pages", 2048, 6144, [2]int{}},
		{"nothing", 4096, 4096, [2]int{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fill()
			if err := m.Release(b[tt.from:tt.to]); err != nil {
				t.Fatal(err)
			}
			if resident(t, b) != len(b)-(tt.gone[1]-tt.gone[0]) {
				t.Errorf("%d bytes are resident", resident(t, b))
			}
			want := bytes.Repeat([]byte{0xaa}, len(b))
			clear(want[tt.gone[0]:tt.gone[1]])
			if !bytes.Equal(b, want) {
				t.Error("other bytes changed")
			}
		})
	}
}

// resident returns the bytes of b that the host has committed.
func resident(t *testing.T, b []byte) (n int) {
	t.Helper()
	pages := make([]byte, len(b)/4096)
	if err := mincore(b, pages); err != 0 {
		t.Fatal(unix.Errno(err))
	}
	for _, p := range pages {
		n += int(p&1) * 4096
	}
	return n
}
