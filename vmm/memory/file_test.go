package memory

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// memoryFile makes a file of size bytes with a byte in each 16th page.
func memoryFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < size; at += 16 * PageSize {
		if _, err := f.WriteAt([]byte{7}, at); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestFromFile has two memories of one file, of which one is written to.
func TestFromFile(t *testing.T) {
	f := memoryFile(t, MinSize)
	a, err := FromFile(f, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := FromFile(f, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := a.WriteAt([]byte{9}, 16*PageSize); err != nil {
		t.Fatal(err)
	}
	var p [1]byte
	for _, tt := range []struct {
		m    *Memory
		gpa  GPA
		want byte
	}{{a, 0, 7}, {a, 1, 0}, {a, 16 * PageSize, 9}, {b, 16 * PageSize, 7}} {
		if err := tt.m.ReadAt(p[:], tt.gpa); err != nil || p[0] != tt.want {
			t.Errorf("at %v: %d, %v, want %d", tt.gpa, p[0], err, tt.want)
		}
	}
	if err := a.Release(a.Regions()[0].Bytes[16*PageSize:][:PageSize]); err != nil {
		t.Fatal(err)
	}
	if err := a.ReadAt(p[:], 16*PageSize); err != nil || p[0] != 7 {
		t.Errorf("released: %d, %v", p[0], err)
	}
}

func TestFromFileOfAnotherSize(t *testing.T) {
	if m, err := FromFile(memoryFile(t, MinSize), 2*MinSize); err == nil {
		m.Close()
		t.Error("a file that is too small will do")
	}
}

// own returns the pages that a memory has of its own.
func own(t *testing.T, m *Memory) (pages []uint64) {
	t.Helper()
	err := m.Own(m.Regions()[0], func(from, to uint64) error {
		for ; from < to; from += PageSize {
			pages = append(pages, from/PageSize)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestOwn finds the pages that were written to, and not those that were read.
func TestOwn(t *testing.T) {
	f := memoryFile(t, MinSize)
	backed, err := FromFile(f, MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer backed.Close()
	anonymous, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer anonymous.Close()
	for name, m := range map[string]*Memory{"anonymous": anonymous, "from a file": backed} {
		b := m.Regions()[0].Bytes
		last := uint64(len(b)/PageSize - 1)
		for _, page := range []uint64{0, 4095, 4096, 4097, last} {
			b[page*PageSize] = 1
		}
		if m.Backed() {
			bytes.Count(b[32*PageSize:][:PageSize], []byte{7})
		}
		if got := own(t, m); !slices.Equal(got, []uint64{0, 4095, 4096, 4097, last}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
