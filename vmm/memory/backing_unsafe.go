package memory

import "unsafe"

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
