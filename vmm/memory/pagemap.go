package memory

import (
	"encoding/binary"
	"fmt"
	"os"
)

// Bits of an entry of /proc/pid/pagemap; the kernel's
// Documentation/admin-guide/mm/pagemap.rst.
const (
	pagemapPresent = 1 << 63
	pagemapSwapped = 1 << 62
	pagemapFile    = 1 << 61 // a page of a file's, not a copy of it

	pagemapEntry = 8
	pagemapBatch = 4096 // entries read at once
)

// Own calls yield for each run of pages in r that this memory has content of its
// own for, as offsets within the region: what was written since it was made, and
// what was brought in. All other pages read as zeroes or, in memory that began as
// something, as that. Nobody may write meanwhile. It stops when yield returns an
// error, and returns that.
func (m *Memory) Own(r Region, yield func(from, to uint64) error) error {
	base, next := m.offset(r), 0
	return m.pages(r, func(at uint64, entry uint64) bool { return isOwn(entry) || has(m.kept, base+at, &next) }, yield)
}

// pages calls yield for each run of pages in r whose entries are such.
func (m *Memory) pages(r Region, such func(at, entry uint64) bool, yield func(from, to uint64) error) error {
	if !m.mapped() {
		return yield(0, r.Size)
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return fmt.Errorf("find the pages that a guest uses: %w", err)
	}
	defer f.Close()
	buf := make([]byte, pagemapBatch*pagemapEntry)
	run := run{yield: yield}
	first := int64(r.HostAddress() / PageSize)
	pages := r.Size / PageSize
	for page := uint64(0); page < pages; {
		n := min(pagemapBatch, pages-page)
		b := buf[:n*pagemapEntry]
		if _, err := f.ReadAt(b, (first+int64(page))*pagemapEntry); err != nil {
			return fmt.Errorf("find the pages that a guest uses: %w", err)
		}
		for ; len(b) > 0; b = b[pagemapEntry:] {
			if err := run.next(page*PageSize, such(page*PageSize, binary.LittleEndian.Uint64(b))); err != nil {
				return err
			}
			page++
		}
	}
	return run.end(r.Size)
}

// isThere reports whether a page was accessed.
func isThere(entry uint64) bool { return entry&(pagemapPresent|pagemapSwapped) != 0 }

// offset returns where a region begins among RAM's bytes, one region after the other.
func (m *Memory) offset(r Region) (base uint64) {
	for _, before := range m.regions {
		if before.Start < r.Start {
			base += before.Size
		}
	}
	return base
}

// OwnPieces returns the runs of pages that Own finds in all regions, in ascending
// order, as a file has them that has nothing else.
func (m *Memory) OwnPieces() (pieces []Piece, err error) {
	stored := uint64(0)
	for _, r := range m.regions {
		base := m.offset(r)
		err = m.Own(r, func(from, to uint64) error {
			pieces = append(pieces, Piece{At: base + from, Size: to - from, Offset: stored})
			stored += to - from
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return pieces, nil
}

// EachPart calls do with the content of a piece, part by part and in order, until it
// fails. A part is valid until do returns.
func (m *Memory) EachPart(p Piece, do func(b []byte) error) error {
	for _, r := range m.regions {
		base := m.offset(r)
		from, to := max(p.At, base), min(p.End(), base+r.Size)
		if from >= to {
			continue
		}
		if err := m.View(r, from-base, to-base, func(_ uint64, b []byte) error { return do(b) }); err != nil {
			return err
		}
	}
	return nil
}

// isOwn reports whether a page was written to.
func isOwn(entry uint64) bool { return isThere(entry) && entry&pagemapFile == 0 }

// run joins pages that follow each other.
type run struct {
	yield func(from, to uint64) error
	open  bool
	from  uint64
}

// next takes the page at an offset.
func (r *run) next(at uint64, in bool) error {
	switch {
	case in && !r.open:
		r.open, r.from = true, at
	case !in && r.open:
		return r.end(at)
	}
	return nil
}

// end ends what is open.
func (r *run) end(at uint64) error {
	if !r.open {
		return nil
	}
	r.open = false
	return r.yield(r.from, at)
}
