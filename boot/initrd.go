package boot

import (
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// loadInitrd puts the initrd as high as it may go, out of the way of a kernel
// that unpacks itself, and returns where that is.
func loadInitrd(mem *memory.Memory, f *io.SectionReader, k kernel) (memory.Range, error) {
	if f == nil || f.Size() == 0 {
		return memory.Range{}, nil
	}
	size := uint64(f.Size())
	top := min(mem.Regions()[0].End(), k.initrdMax)
	if k.end > top || size > uint64(top-k.end) {
		return memory.Range{}, fmt.Errorf("initrd of %d KiB does not fit into guest memory beside the kernel (%d KiB are free): give it more with --memory",
			size>>10, uint64(max(top, k.end)-k.end)>>10)
	}
	r := memory.Range{Start: (top - memory.GPA(size)) &^ (memory.PageSize - 1), Size: size}
	if r.Start < k.end {
		return memory.Range{}, fmt.Errorf("initrd of %d KiB does not fit into guest memory beside the kernel: give it more with --memory", size>>10)
	}
	dst, err := mem.Slice(r.Start, size)
	if err != nil {
		return memory.Range{}, err
	}
	if _, err := f.ReadAt(dst, 0); err != nil && err != io.EOF {
		return memory.Range{}, fmt.Errorf("read initrd: %w", err)
	}
	return r, nil
}
