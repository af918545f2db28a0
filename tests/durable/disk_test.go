package durable

import (
	"bytes"
	"strings"
	"testing"
)

const size = 512

func TestStamp(t *testing.T) {
	unit, other := make([]byte, size), make([]byte, size)
	for _, s := range []Stamp{0, 1, 1 << 40} {
		Fill(unit, 7, s)
		if got, ok := Read(unit, 7); !ok || got != s {
			t.Errorf("read %x, %v; filled with %x", got, ok, s)
		}
	}
	if _, ok := Read(unit, 8); ok {
		t.Error("a unit is taken for its neighbour")
	}
	Fill(other, 7, 1)
	for i := range size {
		torn := append(bytes.Clone(unit[:i]), other[i:]...)
		if s, ok := Read(torn, 7); ok && s != 1 {
			t.Fatalf("half a write, up to byte %d, went unseen", i)
		}
	}
}

func TestDisk(t *testing.T) {
	tests := []struct {
		name string
		ops  func(d *Disk)
		may  string // stamps of the unit 1
	}{
		{"untouched", func(d *Disk) { d.Apply(Op{Write, 0, 1, 5}, true) }, "1"},
		{"written", func(d *Disk) { d.Apply(Op{Write, 0, 2, 5}, true) }, "5"},
		{"perhaps written", func(d *Disk) { d.Apply(Op{Write, 1, 1, 5}, false) }, "15"},
		{"zeroed", func(d *Disk) { d.Apply(Op{WriteZeroes, 1, 1, 0}, true) }, "0"},
		{"discarded", func(d *Disk) { d.Apply(Op{Discard, 1, 1, 0}, true) }, "01"},
		{"perhaps written, then written", func(d *Disk) {
			d.Apply(Op{Write, 1, 1, 5}, false)
			d.Apply(Op{Write, 1, 1, 6}, true)
		}, "6"},
		{"written, perhaps zeroed, perhaps written", func(d *Disk) {
			d.Apply(Op{Write, 1, 1, 5}, true)
			d.Apply(Op{WriteZeroes, 1, 1, 0}, false)
			d.Apply(Op{Write, 1, 1, 6}, false)
		}, "056"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := New(3, size, 1)
			tt.ops(d)
			unit := make([]byte, size)
			for s := range Stamp(8) {
				Fill(unit, 1, s)
				if want := strings.Contains(tt.may, string(rune('0'+s))); (d.May(1, unit) == nil) != want {
					t.Errorf("stamp %d: %v", s, d.May(1, unit))
				}
			}
		})
	}
}

func TestSettle(t *testing.T) {
	d := New(20, size, 0)
	d.Apply(Op{Write, 3, 2, 9}, false)
	content := make([]byte, 20*size)
	Fill(content[4*size:][:size], 4, 9)
	if err := d.Settle(bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	Fill(content[3*size:][:size], 3, 9) // too late: it was found not to be there
	content[7*size]++
	err := d.Settle(bytes.NewReader(content))
	if err == nil || !strings.Contains(err.Error(), "unit 3 holds 9") || !strings.Contains(err.Error(), "unit 7 is torn") {
		t.Errorf("Settle = %v", err)
	}
	if d.Settle(bytes.NewReader(content[1:])) == nil {
		t.Error("a disk that can't be read is fine")
	}
}
