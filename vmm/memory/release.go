package memory

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Release gives the host back the pages that lie wholly within b, part of a
// slice taken from m; when the guest touches them again it finds zeroes or, in
// memory that files are mapped as, what those have there; or zeroes where a pager brings
// things in. Such a page isn't m's own any more, and it
// reads as the files that m was made or rebased from have it, unless it counts as own
// for good (see Layer and Rebase): what was stored in those files holds for it.
//
// A guest may rely on neither. Of a page that is reported free, the driver "MUST treat
// all reported pages as uninitialized memory" where VIRTIO_BALLOON_F_PAGE_POISON isn't
// negotiated, which the balloon doesn't offer (virtio 1.2, 5.5.6.7.1), and the device
// may change pages that are put into the balloon until it acknowledges that
// (5.5.6.2). After that they must not change by themselves, and don't.
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
