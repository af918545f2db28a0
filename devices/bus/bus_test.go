package bus

import (
	"bytes"
	"math"
	"testing"
)

// recorder remembers its last access.
type recorder struct {
	offset uint64
	data   []byte
}

func (r *recorder) Read(offset uint64, data []byte) {
	r.offset = offset
	for i := range data {
		data[i] = 0x5a
	}
}

func (r *recorder) Write(offset uint64, data []byte) {
	r.offset, r.data = offset, bytes.Clone(data)
}

func TestDispatch(t *testing.T) {
	low, high := new(recorder), new(recorder)
	b, err := New(
		Range{Start: 0x2000, Size: 0x1000, Name: "high", Handler: high},
		Range{Start: 0x1000, Size: 8, Name: "low", Handler: low},
	)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		address uint64
		n       int
		want    *recorder // nil: no device
		offset  uint64
	}{
		{"first byte", 0x1000, 1, low, 0},
		{"last byte", 0x1007, 1, low, 7},
		{"whole", 0x1000, 8, low, 0},
		{"over the end", 0x1006, 4, nil, 0},
		{"just after", 0x1008, 1, nil, 0},
		{"just before", 0xfff, 1, nil, 0},
		{"below everything", 0, 4, nil, 0},
		{"second device", 0x2ffc, 4, high, 0xffc},
		{"above everything", math.MaxUint64, 8, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			*low, *high = recorder{offset: 99}, recorder{offset: 99}
			data := make([]byte, tt.n)
			b.Read(tt.address, data)
			want := byte(0xff)
			if tt.want != nil {
				want = 0x5a
				if tt.want.offset != tt.offset {
					t.Errorf("read at offset %d, want %d", tt.want.offset, tt.offset)
				}
			}
			if !bytes.Equal(data, bytes.Repeat([]byte{want}, tt.n)) {
				t.Errorf("read % x, want all %#x", data, want)
			}
			b.Write(tt.address, data)
			for _, r := range []*recorder{low, high} {
				if got := r.data != nil; got != (r == tt.want) {
					t.Errorf("a device was written: %v", got)
				}
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		ranges []Range
	}{
		{"overlap", []Range{{Start: 0, Size: 9}, {Start: 8, Size: 8}}},
		{"same start", []Range{{Start: 8, Size: 8}, {Start: 8, Size: 8}}},
		{"empty", []Range{{Start: 8}}},
		{"wrap", []Range{{Start: math.MaxUint64, Size: 8}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.ranges...); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	var ranges []Range
	for i := range uint64(16) {
		ranges = append(ranges, Range{Start: i * 0x1000, Size: 0x1000, Handler: new(recorder)})
	}
	bus, err := New(ranges...)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		bus.Read(0x7060, data)
	}
}
