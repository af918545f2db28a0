package memory

import "golang.org/x/sys/unix"

// Populate has the host commit the pages of r at once, as huge pages where it
// can, which takes a fraction of the time of a fault for each. It is for ranges
// that are about to be filled, starts at a page, and changes nothing but the
// time; where it can't be done it isn't.
func (m *Memory) Populate(r Range) {
	if !m.mapped() {
		return
	}
	b, err := m.Slice(r.Start, r.Size)
	if err != nil || len(b) == 0 {
		return
	}
	unix.Madvise(b, unix.MADV_HUGEPAGE)
	unix.Madvise(b, unix.MADV_POPULATE_WRITE)
}
