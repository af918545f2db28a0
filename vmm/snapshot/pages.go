package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// pages are those that a layer has, as pieces in ascending order, apart, one behind
// the other in the layer's file.
type pages []memory.Piece

// pagesMagic begins a file with a map of pages. Behind it are, as varints, how many
// pages are left out and how many are there, in turns.
const pagesMagic = "bulkhead page map 1\n"

// maxPieces is how many a layer has at most: more, and small gaps are stored with
// what is around them.
const maxPieces = 1 << 20

var errPages = errors.New("this is no map of pages")

func (p pages) encode() []byte {
	b, last := []byte(pagesMagic), uint64(0)
	for _, one := range p {
		b = binary.AppendUvarint(b, (one.At-last)/pageSize)
		b = binary.AppendUvarint(b, one.Size/pageSize)
		last = one.End()
	}
	return b
}

// decodePages reads a map of pages of memory of so many bytes.
func decodePages(b []byte, memoryBytes uint64) (p pages, err error) {
	b, ok := bytes.CutPrefix(b, []byte(pagesMagic))
	if !ok {
		return nil, errPages
	}
	at, most := uint64(0), memoryBytes/pageSize
	for stored := uint64(0); len(b) > 0; {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errPages
		}
		count, m := binary.Uvarint(b[n:])
		switch {
		case m <= 0, len(p) == maxPieces, gap == 0 && at > 0, count == 0:
			return nil, errPages
		case gap > math.MaxUint64-at, gap+at > most, count > most-gap-at:
			return nil, errPages
		}
		p = append(p, memory.Piece{At: (at + gap) * pageSize, Size: count * pageSize, Offset: stored * pageSize})
		at, stored, b = at+gap+count, stored+count, b[n+m:]
	}
	return p, nil
}

// size returns how many bytes the file has.
func (p pages) size() (n uint64) {
	for _, one := range p {
		n += one.Size
	}
	return n
}

// packed returns the pages of pieces, in ascending order, for a file of their own:
// neighbours together, and gaps filled until there are few enough.
func packed(pieces []memory.Piece, most int) pages {
	for gap := uint64(0); ; gap = max(pageSize, 2*gap) {
		p := make(pages, 0, min(len(pieces), most))
		for _, one := range pieces {
			if n := len(p); n > 0 && one.At-p[n-1].End() <= gap {
				p[n-1].Size = one.End() - p[n-1].At
				continue
			}
			p = append(p, memory.Piece{At: one.At, Size: one.Size})
		}
		if len(p) <= most {
			stored := uint64(0)
			for i := range p {
				p[i].Offset = stored
				stored += p[i].Size
			}
			return p
		}
	}
}
