package spec

import bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"

// memory checks what is asked of it.
func (c *checker) memory(s *bulkheadv1.SandboxSpec) {
	o := s.GetMemory()
	if _, ok := bulkheadv1.MemoryBacking_name[int32(o.GetBacking())]; !ok {
		c.wrong("spec.memory.backing", "%d is none", o.GetBacking())
	}
	if _, ok := bulkheadv1.Prefetch_name[int32(o.GetPrefetch())]; !ok {
		c.wrong("spec.memory.prefetch", "%d is none", o.GetPrefetch())
	}
	if s.GetSnapshot() != "" || NamesTemplate(s) {
		c.goesOn(s)
	}
}

// goesOn checks what is asked of the memory of a sandbox that doesn't begin by a boot.
func (c *checker) goesOn(s *bulkheadv1.SandboxSpec) {
	o := s.GetMemory()
	if o.GetHugePages() && o.GetBacking() != bulkheadv1.MemoryBacking_MEMORY_BACKING_PAGED {
		c.wrong("spec.memory.huge_pages", "memory that is mapped has none: give backing PAGED, or leave huge_pages out")
	}
}
