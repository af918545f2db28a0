package memory

import "os"

// Piece is a part of RAM as a file has it. It counts the bytes of RAM, one region
// after the other; all of it are whole pages.
type Piece struct {
	At, Size uint64
	Offset   uint64 // in the file
}

// End is where the piece ends in RAM.
func (p Piece) End() uint64 { return p.At + p.Size }

// parts calls do for what of p lies in each region, with its bytes in place, until it
// fails.
func (m *Memory) parts(p Piece, do func(part Piece, b []byte) error) error {
	base := uint64(0)
	for _, r := range m.regions {
		from, to := max(p.At, base), min(p.End(), base+r.Size)
		if from < to {
			part := Piece{At: from, Size: to - from, Offset: p.Offset + from - p.At}
			if err := do(part, r.Bytes[from-base:to-base]); err != nil {
				return err
			}
		}
		base += r.Size
	}
	return nil
}

// has reports whether the page at an offset is in pieces, which are in ascending order.
// Offsets of calls may only grow; next is the caller's, 0 at first.
func has(pieces []Piece, at uint64, next *int) bool {
	for *next < len(pieces) && pieces[*next].End() <= at {
		*next++
	}
	return *next < len(pieces) && pieces[*next].At <= at
}

// Merge returns the pieces of both, which are apart, in ascending order, as each is.
func Merge(a, b []Piece) []Piece {
	all := make([]Piece, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].At <= b[0].At {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return all
}

// Without returns what pieces have of RAM that others don't. All are in ascending
// order.
func Without(pieces, others []Piece) (left []Piece) {
	for _, one := range pieces {
		for len(others) > 0 && others[0].End() <= one.At {
			others = others[1:]
		}
		at := one.At
		for _, p := range others {
			if p.At >= one.End() {
				break
			}
			if p.At > at {
				left = append(left, one.part(at, p.At))
			}
			at = max(at, p.End())
		}
		if at < one.End() {
			left = append(left, one.part(at, one.End()))
		}
	}
	return left
}

// part returns what p has between two places in it.
func (p Piece) part(from, to uint64) Piece {
	return Piece{At: from, Size: to - from, Offset: p.Offset + from - p.At}
}

// readAt fills b from a file.
func readAt(f *os.File, b []byte, offset uint64) error {
	_, err := f.ReadAt(b, int64(offset))
	return err
}
