package memory

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Region is a Range with the host memory behind it.
type Region struct {
	Range
	Bytes []byte // len(Bytes) == Size
}

// Memory is the RAM of one machine. Its methods may be called from any
// goroutine; Close may not overlap any of them. Layer and Rebase change what a page is
// from: they, Backed and Own and what is built on it come one after the other.
type Memory struct {
	regions []Region // ascending, disjoint; never changed after construction
	backed  bool     // by a file

	mappings [][]byte // that Close undoes; none: the regions are heap, or somebody else's
	pager    Pager    // brings in what isn't there; nil: the host does
	ahead    ahead

	huge   bool // its pages are to be
	placed int  // how many pieces of files were mapped over the regions
	// kept count as m's own whatever the host says: they are m's content, and what lies
	// below is another, which comes up again when they are released.
	kept []Piece
}

// ErrOutOfRange is wrapped by every refused access.
var ErrOutOfRange = errors.New("outside guest RAM")

// RangeError is a guest-physical range that is not RAM, or not in one piece.
type RangeError struct {
	GPA  GPA
	Size uint64
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("%d bytes at GPA %v: %v", e.Size, e.GPA, ErrOutOfRange)
}

func (e *RangeError) Unwrap() error { return ErrOutOfRange }

// Regions returns the pieces of RAM by ascending address. The caller must not
// change the slice.
func (m *Memory) Regions() []Region { return m.regions }

// Backed reports whether what nobody wrote to reads as a file's content, not as
// zeroes.
func (m *Memory) Backed() bool { return m.backed }

// Size returns the bytes of RAM.
func (m *Memory) Size() (n uint64) {
	for _, r := range m.regions {
		n += r.Size
	}
	return n
}

// mapped reports whether the host has pages for m.
func (m *Memory) mapped() bool { return len(m.mappings) > 0 }

// Close gives the host memory back. Every slice taken from m is dead after.
func (m *Memory) Close() (err error) {
	m.ahead.end()
	if m.pager != nil {
		err = m.pager.Close()
	}
	for _, b := range m.mappings {
		err = errors.Join(err, unix.Munmap(b))
	}
	m.regions, m.mappings, m.pager = nil, nil, nil
	return err
}

// Slice returns the n bytes at gpa in place. The guest may change them at any
// time. It fails with *RangeError unless all of them lie in one region, and where
// they can't be brought in; an empty range is valid at any address of a region, its
// end included.
func (m *Memory) Slice(gpa GPA, n uint64) ([]byte, error) {
	base := uint64(0)
	for i := range m.regions {
		r := &m.regions[i]
		if gpa < r.Start {
			break
		}
		// No sum of guest values, which could wrap around.
		if off := uint64(gpa - r.Start); off <= r.Size && n <= r.Size-off {
			if err := m.fetch(base+off, n); err != nil {
				return nil, err
			}
			return r.Bytes[off : off+n : off+n], nil
		}
		base += r.Size
	}
	return nil, &RangeError{gpa, n}
}

// ReadAt copies len(p) bytes at gpa into p.
func (m *Memory) ReadAt(p []byte, gpa GPA) error {
	src, err := m.Slice(gpa, uint64(len(p)))
	if err == nil {
		copy(p, src)
	}
	return err
}

// WriteAt copies p to gpa.
func (m *Memory) WriteAt(p []byte, gpa GPA) error {
	dst, err := m.Slice(gpa, uint64(len(p)))
	if err == nil {
		copy(dst, p)
	}
	return err
}

// FromRegions returns a Memory over regions that somebody else maps, ascending
// and disjoint. Close leaves them alone.
func FromRegions(regions ...Region) *Memory { return &Memory{regions: regions} }
