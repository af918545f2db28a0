package snapshot

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// TestRandomChains writes, releases, saves, restores, merges and deletes at random, and
// holds each snapshot against what the memory was.
func TestRandomChains(t *testing.T) {
	const pages = testSize / pageSize
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	m := newMachine(t)
	saved := map[string][]byte{}
	pick := func() string {
		names := make([]string, 0, len(saved))
		for name := range saved {
			names = append(names, name)
		}
		slices.Sort(names)
		return names[r.IntN(len(names))]
	}
	for step := range 24 {
		for range 1 + r.IntN(200) {
			at := r.IntN(pages)
			n := min(1+r.IntN(20), pages-at)
			if r.IntN(4) == 0 {
				if err := m.mem.Release(m.ram()[at*pageSize : (at+n)*pageSize]); err != nil {
					t.Fatal(err)
				}
				continue
			}
			for i := at; i < at+n; i++ {
				m.write(byte(r.IntN(3)), i) // often the same, or zero
			}
		}
		path := filepath.Join(dir, string(rune('a'+step/26))+string(rune('a'+step%26)))
		want := bytes.Clone(m.ram())
		m.save(path, r.IntN(10) == 0)
		same(t, "the machine", m.ram(), want)
		saved[path] = want
		switch r.IntN(4) {
		case 0:
			name := pick()
			m.end()
			m = restored(t, name)
			same(t, name, m.ram(), saved[name])
		case 1:
			if err := Merge(t.Context(), pick(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if len(saved) > 4 {
			name := pick()
			if err := RemoveAll(name); err != nil {
				t.Fatal(err)
			}
			delete(saved, name)
		}
		if step%8 == 7 {
			for name, want := range saved {
				wants(t, name, want)
			}
		}
	}
}
