package memory

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkPieces places pieces of a file in RAM, apart from each other, by mapping and
// by reading, and has all of it be read afterwards or not. It is what mapFrom is from.
func BenchmarkPieces(b *testing.B) {
	const count = 2048
	for _, pages := range []uint64{1, 2, 4, 16, 64} {
		f := packed(b, count*pages*PageSize)
		for _, touch := range []bool{false, true} {
			for name, place := range map[string]func(*Memory, Piece) error{
				"map": func(m *Memory, p Piece) error { return m.mapPiece(f, p) },
				"read": func(m *Memory, p Piece) error {
					return m.parts(p, func(part Piece, b []byte) error { return readAt(f, b, part.Offset) })
				},
			} {
				b.Run(fmt.Sprintf("pages=%d/touch=%v/%s", pages, touch, name), func(b *testing.B) {
					for b.Loop() {
						b.StopTimer()
						m, err := New(max(MinSize, 2*count*pages*PageSize))
						if err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
						for i := range uint64(count) {
							if err := place(m, Piece{At: 2 * i * pages * PageSize, Size: pages * PageSize, Offset: i * pages * PageSize}); err != nil {
								b.Fatal(err)
							}
						}
						ram, sum := m.Regions()[0].Bytes, byte(0)
						for at := 0; touch && at < len(ram); at += PageSize {
							if at/PageSize/int(pages)%2 == 0 {
								sum += ram[at]
							}
						}
						b.StopTimer()
						m.Close()
						b.StartTimer()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/piece")
				})
			}
		}
	}
}

// packed makes a file of size bytes without holes.
func packed(t testing.TB, size uint64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "layer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	page := make([]byte, PageSize)
	for at := uint64(0); at < size; at += PageSize {
		page[0], page[1], page[2] = byte(at>>12)|1, byte(at>>20), byte(at>>28)
		if _, err := f.WriteAt(page, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
