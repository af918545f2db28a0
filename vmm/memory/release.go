package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Release gives the host back the pages that lie wholly within b, part of a
// slice taken from m; when the guest touches them again it finds zeroes or, in
// memory that a file is mapped as, what the file has.
func (m *Memory) Release(b []byte) error {
	if b = wholePages(b); len(b) == 0 {
		return nil
	}
	if !m.mapped() {
		clear(b)
		return nil
	}
	if m.pager != nil {
		return m.releasePaged(b)
	}
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("give %d bytes of guest RAM back: %w", len(b), err)
	}
	return nil
}

// wholePages cuts what is less than a page off both ends of b.
func wholePages(b []byte) []byte {
	page := uintptr(os.Getpagesize())
	at := Region{Bytes: b}.HostAddress()
	skip := -at & (page - 1)
	if uintptr(len(b)) < skip+page {
		return nil
	}
	n := (uintptr(len(b)) - skip) &^ (page - 1)
	return b[skip:][:n]
}
