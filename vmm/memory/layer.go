package memory

import (
	"errors"
	"fmt"
	"os"
)

const (
	// maxMappings is how many pieces of files one machine's RAM may be mapped from: an
	// eighth of the mappings that Linux allows a process by default (vm.max_map_count),
	// which others need as well.
	maxMappings = 8192
	// maxRebased is how many pieces are mapped while a machine stands still for it.
	// Each takes some 10 microseconds from a machine that has used it.
	maxRebased = 2048
)

// Layer has pieces of m, which nobody has touched yet, begin as a file has them.
// They are in ascending order and apart. They are mapped like all in FromFile or,
// the smallest ones of too many, read, so that it takes no longer than a mapping or a
// few pages for each. What was read counts as m's own. The caller may close f; nobody
// may truncate the file.
func (m *Memory) Layer(f *os.File, pieces []Piece) error {
	var read []Piece
	from := worthMapping(pieces, maxMappings-m.placed)
	for _, p := range pieces {
		if p.Size < from || !m.mapped() || m.mapPiece(f, p) != nil { // it may want mappings
			read = append(read, p)
		}
	}
	m.kept = Merge(Without(m.kept, pieces), read)
	for _, p := range read {
		err := m.parts(p, func(part Piece, b []byte) error { return readAt(f, b, part.Offset) })
		if err != nil {
			return fmt.Errorf("guest RAM from %s: %w", f.Name(), err)
		}
	}
	m.backed = true
	return nil
}

// worthMapping returns the size from which on pieces are mapped where there is room
// for so many. A mapping takes as long as it does to read a page.
func worthMapping(pieces []Piece, room int) (size uint64) {
	for size = PageSize; ; size *= 2 {
		count := 0
		for _, p := range pieces {
			if p.Size >= size {
				count++
			}
		}
		if count <= room || count == 0 {
			return size
		}
	}
}

// CanRebase reports whether m can: not if a pager brings things in, which knows what
// they are from, nor if its pages are to be huge, which a file's aren't.
func (m *Memory) CanRebase() bool { return m.mapped() && m.pager == nil && !m.huge }

// Rebase maps pieces of m, to which nobody may write meanwhile, from a file that has
// their content: they are m's own no longer, and shared with all that map the file. The
// smallest ones of too many, and those that can't be mapped, stay as they are and keep
// counting as own. After an error, of which nobody knows a case, the content of m is
// lost.
func (m *Memory) Rebase(f *os.File, pieces []Piece) error {
	if !m.mapped() {
		return errors.New("guest RAM is on the heap")
	}
	if len(pieces) == 1 && pieces[0].Size == m.Size() {
		m.placed = 0
	}
	from := worthMapping(pieces, min(maxRebased, maxMappings-m.placed))
	var left []Piece
	for i, p := range pieces {
		if p.Size < from {
			left = append(left, p)
			continue
		}
		if m.mapPiece(f, p) != nil {
			left = append(left, pieces[i:]...)
			if err := m.refill(f, p); err != nil {
				return err
			}
			break
		}
	}
	m.backed = true
	m.kept = Merge(Without(m.kept, pieces), left)
	return nil
}

// refill sees to it that a piece that a mapping failed for is there: kernels have
// taken the old one away before they failed.
func (m *Memory) refill(f *os.File, p Piece) error {
	return m.parts(p, func(part Piece, b []byte) error {
		if isMapped(b) {
			return nil
		}
		if err := mapAnonymous(b); err != nil {
			return fmt.Errorf("map %d bytes of guest RAM anew: %w", len(b), err)
		}
		if err := readAt(f, b, part.Offset); err != nil {
			return fmt.Errorf("read %d bytes of guest RAM back from %s: %w", len(b), f.Name(), err)
		}
		return nil
	})
}

// mapPiece maps a piece in its place.
func (m *Memory) mapPiece(f *os.File, p Piece) error {
	return m.parts(p, func(part Piece, b []byte) error {
		m.placed++
		return mapFixed(f, b, part.Offset)
	})
}

// Take makes pages of pieces m's own, which may be in use: they don't depend on the
// file any more that they are mapped from.
func (m *Memory) Take(pieces []Piece) {
	for _, p := range pieces {
		m.parts(p, func(_ Piece, b []byte) error {
			for at := 0; at < len(b); at += PageSize {
				Or64(b, at, 0)
			}
			return nil
		})
	}
}
