package snapshot

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// piecesOf returns pieces between bounds in pages.
func piecesOf(bounds ...uint64) (all []memory.Piece) {
	for i := 0; i < len(bounds); i += 2 {
		all = append(all, memory.Piece{At: bounds[i] * pageSize, Size: (bounds[i+1] - bounds[i]) * pageSize})
	}
	return all
}

func TestPacked(t *testing.T) {
	for _, tt := range []struct {
		pieces []memory.Piece
		most   int
		want   []memory.Piece
	}{
		{nil, 1, nil},
		{piecesOf(0, 1, 1, 3, 4, 5), 8, piecesOf(0, 3, 4, 5)},
		{piecesOf(0, 1, 2, 3, 9, 10), 2, piecesOf(0, 3, 9, 10)},
		{piecesOf(0, 1, 2, 3, 9, 10), 1, piecesOf(0, 10)},
	} {
		got := packed(tt.pieces, tt.most)
		stored := uint64(0)
		for i := range tt.want {
			tt.want[i].Offset = stored
			stored += tt.want[i].Size
		}
		if !slices.Equal(got, tt.want) || got.size() != stored {
			t.Errorf("%v in %d: %v", tt.pieces, tt.most, got)
		}
	}
}

func TestPages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		var all []memory.Piece
		for at := uint64(r.IntN(3)); at < 1000; {
			n := uint64(1 + r.IntN(300))
			all = append(all, piecesOf(at, min(at+n, 1000))...)
			at += n + 1 + uint64(r.IntN(200))
		}
		want := packed(all, maxPieces)
		got, err := decodePages(want.encode(), 1000*pageSize)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	}
}

func TestPagesRefused(t *testing.T) {
	encode := func(values ...uint64) []byte {
		b := []byte(pagesMagic)
		for _, v := range values {
			b = binary.AppendUvarint(b, v)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"something else":  []byte("bulkhead page map 2\n"),
		"half":            encode(1),
		"none":            encode(1, 0),
		"not joined":      encode(1, 1, 0, 1),
		"behind the end":  encode(9, 2),
		"gap to nowhere":  encode(11, 1),
		"gap that wraps":  encode(1, 1, math.MaxUint64, 1),
		"size that wraps": encode(1, math.MaxUint64),
		"no number":       append(encode(1), 0x80),
		"too long":        append(encode(), 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	} {
		if p, err := decodePages(b, 10*pageSize); !errors.Is(err, errPages) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func FuzzPages(f *testing.F) {
	f.Add(packed(piecesOf(0, 1, 5, 9), maxPieces).encode())
	f.Add([]byte(pagesMagic + "\x01\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 1000 * pageSize
		p, err := decodePages(b, size)
		if err != nil {
			return
		}
		last, stored := uint64(0), uint64(0)
		for i, one := range p {
			if one.At < last || i > 0 && one.At == last || one.Size == 0 || one.End() > size || one.Offset != stored {
				t.Fatalf("%v", p)
			}
			last, stored = one.End(), stored+one.Size
		}
	})
}
