package memory

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// New returns size bytes of anonymous, zeroed RAM in the x86 layout. The host
// commits a page when it is first touched.
func New(size uint64) (*Memory, error) {
	ranges, err := Layout(size)
	if err != nil {
		return nil, err
	}
	m := &Memory{mapped: true}
	for _, r := range ranges {
		b, err := unix.Mmap(-1, 0, int(r.Size), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reserve %d MiB of address space for guest RAM: %w", r.Size>>20, err), m.Close())
		}
		m.regions = append(m.regions, Region{r, b})
	}
	return m, nil
}

// NewHeap returns RAM on the Go heap at the given ranges, for tests: unlike
// mapped memory, the race detector watches it. Sizes are rounded up to 8.
func NewHeap(ranges ...Range) *Memory {
	m := &Memory{}
	for _, r := range ranges {
		words := make([]uint64, (r.Size+7)/8)
		r.Size = uint64(len(words)) * 8
		m.regions = append(m.regions, Region{r, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), r.Size)})
	}
	return m
}
