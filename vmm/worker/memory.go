package worker

import (
	"errors"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/pager"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// checkMemory says what is wrong with what is asked of memory.
func checkMemory(r *vmmv1.CreateRequest) error {
	o := r.GetMemory()
	_, backing := vmmv1.MemoryBacking_name[int32(o.GetBacking())]
	_, prefetch := vmmv1.Prefetch_name[int32(o.GetPrefetch())]
	switch {
	case !backing || !prefetch:
		return errors.New("memory: there is no such backing, or prefetch")
	case r.GetSnapshot() != "" && o.GetHugePages() && o.GetBacking() != vmmv1.MemoryBacking_MEMORY_BACKING_PAGED:
		return errors.New("memory that is mapped from a snapshot has no huge pages: have it paged, or leave huge pages out")
	}
	return nil
}

// openMemory returns RAM that begins as the snapshot's, which stays open as long.
func openMemory(s *snapshot.Snapshot, o *vmmv1.MemoryOptions) (*memory.Memory, error) {
	if o.GetBacking() != vmmv1.MemoryBacking_MEMORY_BACKING_PAGED {
		return s.Memory()
	}
	huge := o.GetHugePages()
	return memory.NewPaged(s.Manifest.MemoryBytes, huge, func(r []memory.Region) (memory.Pager, error) {
		return pager.Start(pager.Config{Content: s.Content(), Huge: huge}, r)
	})
}
