package overlay

import (
	"encoding/binary"
	"sync/atomic"
)

// bitmap says which clusters are in the overlay. Bits are only ever set, by
// several goroutines at once.
type bitmap struct {
	words []atomic.Uint64
	dirty []atomic.Bool // a page at a time: differs from the file
}

const wordsPerPage = bitmapPage / 8

// load makes a bitmap of what a file holds: whole pages.
func load(b []byte) *bitmap {
	m := &bitmap{words: make([]atomic.Uint64, len(b)/8), dirty: make([]atomic.Bool, len(b)/bitmapPage)}
	for i := range m.words {
		m.words[i].Store(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return m
}

func (m *bitmap) has(cluster int64) bool {
	return m.words[cluster/64].Load()&(1<<(cluster%64)) != 0
}

// set sets the bits of the clusters from first up to, but not including, end.
func (m *bitmap) set(first, end int64) {
	for c := first; c < end; c++ {
		w := &m.words[c/64]
		if bit := uint64(1) << (c % 64); w.Load()&bit == 0 {
			w.Or(bit)
			m.dirty[c/64/wordsPerPage].Store(true)
		}
	}
}

// run returns how many clusters from first on, up to end, are where first is.
func (m *bitmap) run(first, end int64) (n int64, present bool) {
	present = m.has(first)
	for n = 1; first+n < end && m.has(first+n) == present; n++ {
	}
	return n, present
}

// page returns a page of the bitmap as the file has it.
func (m *bitmap) page(i int) []byte {
	b := make([]byte, bitmapPage)
	for w := range wordsPerPage {
		binary.LittleEndian.PutUint64(b[8*w:], m.words[i*wordsPerPage+w].Load())
	}
	return b
}
