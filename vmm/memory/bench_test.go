package memory

import "testing"

// BenchmarkFirstTouch writes to each page of new RAM.
func BenchmarkFirstTouch(b *testing.B) {
	for name, make := range map[string]func(uint64) (*Memory, error){"small": New, "huge": NewHuge} {
		b.Run(name, func(b *testing.B) {
			const size = 64 << 20
			b.SetBytes(size)
			for b.Loop() {
				m, err := make(size)
				if err != nil {
					b.Fatal(err)
				}
				for at := 0; at < size; at += PageSize {
					m.regions[0].Bytes[at] = 1
				}
				m.Close()
			}
		})
	}
}
