package boot

import (
	"fmt"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// initrdAlign is more than the boot protocols ask for: a kernel that keeps the
// initrd's pages as files can map several of them at one page fault.
const initrdAlign = 64 << 10

// loadInitrd reads the initrd and returns where it is.
func loadInitrd(mem *memory.Memory, f *io.SectionReader, k kernel) (memory.Range, error) {
	if f == nil || f.Size() == 0 {
		return memory.Range{}, nil
	}
	r, err := placeInitrd(mem, uint64(f.Size()), k)
	if err != nil {
		return memory.Range{}, err
	}
	mem.Populate(r)
	dst, err := mem.Slice(r.Start, r.Size)
	if err != nil {
		return memory.Range{}, err
	}
	if _, err := f.ReadAt(dst, 0); err != nil && err != io.EOF {
		return memory.Range{}, fmt.Errorf("read initrd: %w", err)
	}
	return r, nil
}

// placeInitrd finds room for size bytes: as high as the initrd may go, out of
// the way of a kernel that unpacks itself, or else below the kernel.
func placeInitrd(mem *memory.Memory, size uint64, k kernel) (memory.Range, error) {
	top := min(mem.Regions()[0].End(), k.initrdMax)
	most := uint64(0)
	for _, gap := range []struct{ start, end memory.GPA }{{k.end, top}, {highMemory, k.start}} {
		start := (gap.start + initrdAlign - 1) &^ (initrdAlign - 1)
		if start > gap.end {
			continue
		}
		room := uint64(gap.end - start)
		if size <= room {
			return memory.Range{Start: (gap.end - memory.GPA(size)) &^ (initrdAlign - 1), Size: size}, nil
		}
		most = max(most, room)
	}
	return memory.Range{}, fmt.Errorf("initrd of %d KiB does not fit into guest memory beside the kernel, where %d KiB are free in one piece: give it more with --memory",
		size>>10, most>>10)
}
