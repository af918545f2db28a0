package memory

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// New returns size bytes of anonymous, zeroed RAM in the x86 layout. The host
// commits a page when it is first touched.
func New(size uint64) (*Memory, error) { return reserve(size, false) }

// NewHuge is New with pages of 2 MiB where the host has them: fewer faults, and
// what is touched first commits all that is around it.
func NewHuge(size uint64) (*Memory, error) { return reserve(size, true) }

// HugePageSize is that of the larger pages that x86 has.
const HugePageSize = 2 << 20

func reserve(size uint64, huge bool) (*Memory, error) {
	ranges, err := Layout(size)
	if err != nil {
		return nil, err
	}
	m := &Memory{huge: huge}
	for _, r := range ranges {
		b, err := m.mapAnonymous(int(r.Size), huge)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reserve %d MiB of address space for guest RAM: %w", r.Size>>20, err), m.Close())
		}
		m.regions = append(m.regions, Region{r, b})
	}
	return m, nil
}

// mapAnonymous returns size bytes. Huge ones begin where a huge page can.
func (m *Memory) mapAnonymous(size int, huge bool) ([]byte, error) {
	room := size
	if huge {
		room += HugePageSize
	}
	b, err := unix.Mmap(-1, 0, room, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	m.mappings = append(m.mappings, b)
	if !huge {
		return b, nil
	}
	b = b[-Region{Bytes: b}.HostAddress()&(HugePageSize-1):][:size:size]
	unix.Madvise(b, unix.MADV_HUGEPAGE) // where the host has none, pages are small
	return b, nil
}
