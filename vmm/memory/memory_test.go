package memory

import (
	"errors"
	"math"
	"sync"
	"testing"
)

func TestLayout(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name string
		size uint64
		want []Range // nil: refused
	}{
		{"smallest", 32 << 20, []Range{{0, 32 << 20}}},
		{"up to the hole", 3 * gib, []Range{{0, 3 * gib}}},
		{"one page past the hole", 3*gib + 4096, []Range{{0, 3 * gib}, {4 * gib, 4096}}},
		{"5 GiB", 5 * gib, []Range{{0, 3 * gib}, {4 * gib, 2 * gib}}},
		{"half a TiB", 512 * gib, []Range{{0, 3 * gib}, {4 * gib, 509 * gib}}},
		{"none", 0, nil},
		{"too small", 32<<20 - 4096, nil},
		{"not whole pages", 64<<20 + 1, nil},
		{"too large", 1 << 46, nil},
		{"all bits", math.MaxUint64 &^ 4095, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Layout(tt.size)
			if tt.want == nil {
				if sizeErr := (*SizeError)(nil); !errors.As(err, &sizeErr) {
					t.Fatalf("Layout = %v, %v; want a SizeError", got, err)
				}
				return
			}
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("Layout = %v, %v; want %v", got, err, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("range %d is %v, want %v", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestSliceBounds(t *testing.T) {
	m := NewHeap(Range{0, 0x1000}, Range{0x2000, 0x1000})
	tests := []struct {
		name string
		gpa  GPA
		n    uint64
		ok   bool
	}{
		{"first byte", 0, 1, true},
		{"whole region", 0, 0x1000, true},
		{"one byte too many", 0, 0x1001, false},
		{"last byte", 0xfff, 1, true},
		{"across the end", 0xfff, 2, false},
		{"empty at the end", 0x1000, 0, true},
		{"in the hole", 0x1800, 1, false},
		{"empty in the hole", 0x1800, 0, false},
		{"second region", 0x2000, 0x1000, true},
		{"into the hole before it", 0x1fff, 2, false},
		{"past everything", 0x3001, 0, false},
		{"length wraps around", 0x10, math.MaxUint64, false},
		{"address wraps around", math.MaxUint64, 2, false},
		{"both huge", math.MaxUint64, math.MaxUint64, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := m.Slice(tt.gpa, tt.n)
			if !tt.ok {
				if !errors.Is(err, ErrOutOfRange) || b != nil {
					t.Fatalf("Slice = %d bytes, %v; want ErrOutOfRange", len(b), err)
				}
				return
			}
			if err != nil || uint64(len(b)) != tt.n || uint64(cap(b)) != tt.n {
				t.Fatalf("Slice = %d bytes (cap %d), %v; want %d", len(b), cap(b), err, tt.n)
			}
		})
	}
}

func TestReadWrite(t *testing.T) {
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteAt([]byte("hull"), 0x1234); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if err := m.ReadAt(got, 0x1234); err != nil || string(got) != "hull" {
		t.Errorf("read back %q, %v", got, err)
	}
	if err := m.WriteAt(got, GPA(m.Size())-3); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("write across the end: %v, want ErrOutOfRange", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := m.Slice(0, 1); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("Slice after Close: %v, want ErrOutOfRange", err)
	}
}

func TestAtomicFields(t *testing.T) {
	b, err := NewHeap(Range{0, 24}).Slice(0, 24)
	if err != nil {
		t.Fatal(err)
	}
	Store16(b, 2, 0xbeef)
	Store16(b, 4, 0x1234)
	Store32(b, 8, 0xdeadbeef)
	Store64(b, 16, 0x1122334455667788)
	want := []byte{0, 0, 0xef, 0xbe, 0x34, 0x12, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}
	if string(b) != string(want) {
		t.Errorf("memory is % x, want % x", b, want)
	}
	if v := Load16(b, 2); v != 0xbeef {
		t.Errorf("Load16 = %#x", v)
	}
	if v := Load32(b, 8); v != 0xdeadbeef {
		t.Errorf("Load32 = %#x", v)
	}
	if v := Load64(b, 8); v != 0xdeadbeef {
		t.Errorf("Load64 = %#x", v)
	}
}

// TestStore16KeepsNeighbour has one side count in the lower half of a word and
// the other in the upper: no count may get lost.
func TestStore16KeepsNeighbour(t *testing.T) {
	b, err := NewHeap(Range{0, 8}).Slice(0, 8)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20_000
	var wg sync.WaitGroup
	for _, off := range []int{0, 2} {
		wg.Go(func() {
			for i := range uint16(rounds) {
				if got := Load16(b, off); got != i {
					t.Errorf("offset %d holds %d, want %d", off, got, i)
					return
				}
				Store16(b, off, i+1)
			}
		})
	}
	wg.Wait()
}

func TestAtomic16AtAnyEvenAddress(t *testing.T) {
	m := NewHeap(Range{0, 16})
	for start := GPA(0); start < 12; start += 2 {
		b, err := m.Slice(start, 4)
		if err != nil {
			t.Fatal(err)
		}
		Store16(b, 0, 0x1122)
		Store16(b, 2, 0x3344)
		if Load16(b, 0) != 0x1122 || Load16(b, 2) != 0x3344 {
			t.Errorf("slice at %v: read back %#x, %#x", start, Load16(b, 0), Load16(b, 2))
		}
	}
}
