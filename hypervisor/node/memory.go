package node

import (
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// memory is what a sandbox's worker is asked for. The numbers are the same.
func (n *Node) memory(r *storev1.Record) *vmmv1.MemoryOptions {
	o := r.GetSandbox().GetSpec().GetMemory()
	m := &vmmv1.MemoryOptions{
		Backing: vmmv1.MemoryBacking(o.GetBacking()), Prefetch: vmmv1.Prefetch(o.GetPrefetch()), HugePages: o.GetHugePages(),
	}
	if n.snapshots.Forking(r.GetFork()) {
		// It was written just now, so that the host has it, and is deleted soon.
		m.Prefetch = vmmv1.Prefetch_PREFETCH_OFF
	}
	return m
}

// mapsHuge reports whether a sandbox asks for huge pages, which it has only if it
// boots.
func mapsHuge(s *bulkheadv1.SandboxSpec) bool {
	return s.GetMemory().GetHugePages() && s.GetMemory().GetBacking() != bulkheadv1.MemoryBacking_MEMORY_BACKING_PAGED
}
