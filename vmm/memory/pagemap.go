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
	return m.pages(r, isOwn, yield)
}

// pages calls yield for each run of pages in r whose entries are such.
func (m *Memory) pages(r Region, such func(entry uint64) bool, yield func(from, to uint64) error) error {
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
			if err := run.next(page*PageSize, such(binary.LittleEndian.Uint64(b))); err != nil {
				return err
			}
			page++
		}
	}
	return run.end(r.Size)
}

// isThere reports whether a page was accessed.
func isThere(entry uint64) bool { return entry&(pagemapPresent|pagemapSwapped) != 0 }

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
