package memory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWithoutAndMerge(t *testing.T) {
	p := func(bounds ...uint64) (pieces []Piece) {
		for i := 0; i < len(bounds); i += 2 {
			pieces = append(pieces, Piece{At: bounds[i], Size: bounds[i+1] - bounds[i], Offset: 100 + bounds[i]})
		}
		return pieces
	}
	for _, tt := range []struct{ kept, take, want []Piece }{
		{nil, p(0, 4), nil},
		{p(2, 4), nil, p(2, 4)},
		{p(2, 8), p(0, 2, 8, 9), p(2, 8)},
		{p(2, 8), p(3, 4, 6, 7), p(2, 3, 4, 6, 7, 8)},
		{p(2, 4, 6, 8), p(1, 7), p(7, 8)},
		{p(2, 4, 6, 8), p(0, 9), nil},
		{p(2, 4, 6, 8), p(3, 7), p(2, 3, 7, 8)},
		{p(2, 4), p(2, 3), p(3, 4)},
	} {
		if got := Without(tt.kept, tt.take); !slices.Equal(got, tt.want) {
			t.Errorf("%v without %v: %v", tt.kept, tt.take, got)
		}
	}
	if got := Merge(p(2, 4, 8, 9), p(0, 1, 5, 6, 10, 11)); !slices.Equal(got, p(0, 1, 2, 4, 5, 6, 8, 9, 10, 11)) {
		t.Errorf("%v", got)
	}
	next := 0
	for at, want := range []bool{false, true, false, true, true, false} {
		if got := has(p(1, 2, 3, 5), uint64(at), &next); got != want {
			t.Errorf("has %d: %v", at, got)
		}
	}
}

func TestWorthMapping(t *testing.T) {
	var pieces []Piece
	for _, pages := range []uint64{1, 1, 1, 2, 3, 64} {
		pieces = append(pieces, Piece{Size: pages * PageSize})
	}
	for room, want := range map[int]uint64{6: 1, 5: 2, 3: 2, 2: 4, 1: 4, 0: 128, -1: 128} {
		if got := worthMapping(pieces, room); got != want*PageSize {
			t.Errorf("room for %d: from %d pages, want %d", room, got/PageSize, want)
		}
	}
}

// TestLayer has pages of a file in memory from another one: mapped, and read. Those
// that are read count as own, also when they were released and what is below shows.
func TestLayer(t *testing.T) {
	for _, mapped := range []bool{true, false} {
		t.Run(fmt.Sprintf("mapped=%v", mapped), func(t *testing.T) {
			m, err := FromFile(memoryFile(t, MinSize), MinSize)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if !mapped {
				m.placed = maxMappings
			}
			f := packed(t, 5*PageSize)
			pieces := []Piece{{At: 16 * PageSize, Size: PageSize}, {At: 20 * PageSize, Size: 4 * PageSize, Offset: PageSize}}
			if err := m.Layer(f, pieces); err != nil {
				t.Fatal(err)
			}
			b := m.Regions()[0].Bytes
			want := map[int]byte{0: 7, 16: 1, 17: 0, 20: 1, 21: 3, 22: 3, 23: 5, 32: 7}
			for page, first := range want {
				if got := b[page*PageSize]; got != first {
					t.Errorf("page %d begins with %d, want %d", page, got, first)
				}
			}
			if err := m.Release(b[16*PageSize : 17*PageSize]); err != nil {
				t.Fatal(err)
			}
			wantOwn, below := []uint64(nil), byte(1)
			if !mapped {
				wantOwn, below = []uint64{16, 20, 21, 22, 23}, 7
			}
			if got := own(t, m); !slices.Equal(got, wantOwn) || b[16*PageSize] != below {
				t.Errorf("own are %v; page 16 begins with %d", got, b[16*PageSize])
			}
		})
	}
}

// TestRebase has written pages be a file's, with what they are, in memory of each
// kind; what is written afterwards is all that is own.
func TestRebase(t *testing.T) {
	backed, err := FromFile(memoryFile(t, MinSize), MinSize)
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
		for _, page := range []int{3, 4, 100} {
			b[page*PageSize+1] = 9
		}
		want := bytes.Clone(b)
		pieces, f := stored(t, m, !m.Backed())
		if err := m.Rebase(f, pieces); err != nil {
			t.Fatal(err)
		}
		if got := own(t, m); len(got) != 0 || !bytes.Equal(b, want) || !m.Backed() {
			t.Errorf("%s: own are %v", name, got)
		}
		b[4*PageSize] = 1
		b[7*PageSize] = 1
		if got := own(t, m); !slices.Equal(got, []uint64{4, 7}) {
			t.Errorf("%s: own are %v", name, got)
		}
		m.Release(b[4*PageSize : 8*PageSize])
		if got := own(t, m); len(got) != 0 || !bytes.Equal(b, want) {
			t.Errorf("%s: own are %v after their release", name, got)
		}
		m.Take([]Piece{{At: 3 * PageSize, Size: 2 * PageSize}})
		if got := own(t, m); !slices.Equal(got, []uint64{3, 4}) || !bytes.Equal(b, want) {
			t.Errorf("%s: own are %v after they were taken", name, got)
		}
	}
}

// TestRebaseInManyPieces has the largest be mapped; the rest count as own.
func TestRebaseInManyPieces(t *testing.T) {
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b := m.Regions()[0].Bytes
	for page := 0; page < len(b)/PageSize; page++ {
		if page%3 == 1 || page%30 == 2 || page < 100 {
			b[page*PageSize] = 1
		}
	}
	pieces, f := stored(t, m, false)
	if err := m.Rebase(f, pieces); err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for _, p := range pieces {
		if p.Size == PageSize {
			want = append(want, p.At/PageSize)
		}
	}
	if got := own(t, m); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%d pages are own, want %d of %d pieces", len(got), len(want), len(pieces))
	}
}

// TestRebaseFails has a file that can't be mapped: what it was for counts as own, also
// after its release.
func TestRebaseFails(t *testing.T) {
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b := m.Regions()[0].Bytes
	b[0], b[9*PageSize] = 1, 1
	pieces, f := stored(t, m, false)
	closed, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if err := m.Rebase(closed, pieces); err != nil {
		t.Fatal(err)
	}
	m.Release(b[:PageSize])
	if got := own(t, m); !slices.Equal(got, []uint64{0, 9}) || b[0] != 0 || b[9*PageSize] != 1 {
		t.Errorf("own are %v", got)
	}
}

// stored returns the pages that m has of its own, or all, and a file with them.
func stored(t *testing.T, m *Memory, all bool) ([]Piece, *os.File) {
	t.Helper()
	pieces, err := m.OwnPieces()
	if all {
		pieces = []Piece{{Size: m.Size()}}
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "stored"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for _, p := range pieces {
		at := int64(p.Offset)
		err := m.EachPart(p, func(b []byte) error {
			_, err := f.WriteAt(b, at)
			at += int64(len(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return pieces, f
}

// TestPiecesOfRegions has pieces in memory of two regions, over the hole.
func TestPiecesOfRegions(t *testing.T) {
	const top = uint64(HoleStart)
	m, err := New(top + 16*PageSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f := packed(t, 4*PageSize)
	if err := m.Rebase(f, []Piece{{At: top - 2*PageSize, Size: 4 * PageSize}}); err != nil {
		t.Fatal(err)
	}
	low, high := m.Regions()[0].Bytes, m.Regions()[1].Bytes
	got := []byte{low[top-2*PageSize], low[top-PageSize], high[0], high[PageSize]}
	if !bytes.Equal(got, []byte{1, 1, 3, 3}) {
		t.Errorf("pages begin with %v", got)
	}
	high[PageSize], high[15*PageSize] = 8, 8
	pieces, err := m.OwnPieces()
	want := []Piece{{At: top + PageSize, Size: PageSize}, {At: top + 15*PageSize, Size: PageSize, Offset: PageSize}}
	if err != nil || !slices.Equal(pieces, want) {
		t.Errorf("%+v, %v", pieces, err)
	}
}

// TestModel writes, releases and rebases at random, and holds memory against a copy of
// what the guest sees, and of what the files say of pages that aren't own.
func TestModel(t *testing.T) {
	const pages = MinSize / PageSize
	r := rand.New(rand.NewPCG(1, 2))
	m, err := New(MinSize)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ram := m.Regions()[0].Bytes
	seen, saved := make([]byte, pages), make([]byte, pages) // the first byte of each page
	for step := range 3000 {
		at := r.IntN(pages)
		n := min(1+r.IntN(8), pages-at)
		switch r.IntN(20) {
		case 0:
			pieces, f := stored(t, m, false)
			if r.IntN(4) == 0 {
				f.Close() // it can't be mapped
			}
			if err := m.Rebase(f, pieces); err != nil {
				t.Fatal(err)
			}
			copy(saved, seen)
		case 1, 2, 3, 4:
			if err := m.Release(ram[at*PageSize : (at+n)*PageSize]); err != nil {
				t.Fatal(err)
			}
			for i := at; i < at+n; i++ {
				seen[i] = ram[i*PageSize] // anything
			}
		default:
			for i := at; i < at+n; i++ {
				seen[i] = byte(r.IntN(256))
				ram[i*PageSize] = seen[i]
			}
		}
		if step%50 != 0 {
			continue
		}
		mine := own(t, m)
		for i := range seen {
			if ram[i*PageSize] != seen[i] {
				t.Fatalf("step %d: page %d has changed by itself", step, i)
			}
			if _, own := slices.BinarySearch(mine, uint64(i)); !own && seen[i] != saved[i] {
				t.Fatalf("step %d: page %d has %d, was saved as %d, and is reported unchanged", step, i, seen[i], saved[i])
			}
		}
	}
}
