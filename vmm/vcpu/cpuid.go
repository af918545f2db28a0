package vcpu

import (
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Template describes the processors of a machine; the zero value of each field
// but CPUs is right for a host with hardware virtualization.
type Template struct {
	CPUs int
	// MaskKVMFeatures are bits of KVM's paravirtual features to withhold.
	MaskKVMFeatures uint32
	// NoPIC leaves LINT0 of the local APICs unconnected.
	NoPIC bool
}

// CPUID returns what CPUID answers on processor id, starting from what the
// host supports.
func (t Template) CPUID(supported []kvm.CPUIDEntry, id int) []kvm.CPUIDEntry {
	entries := withTopology(slices.Clone(supported), t.CPUs, id)
	amd := isAMD(supported)
	for i := range entries {
		t.patch(&entries[i], uint32(id), amd)
	}
	return entries
}

func isAMD(entries []kvm.CPUIDEntry) bool {
	const auth = 0x68747541 // the vendor's first four letters: "Auth"enticAMD
	return slices.ContainsFunc(entries, func(e kvm.CPUIDEntry) bool {
		return e.Function == leafVendor && e.EBX == auth
	})
}

// patch changes the leaves whose right answer isn't the host's.
func (t Template) patch(e *kvm.CPUIDEntry, id uint32, amd bool) {
	cpus := uint32(t.CPUs)
	switch e.Function {
	case leafFeatures:
		const clflush = 8 << 8 // cache lines of 8 quadwords
		e.EBX = e.EBX&0xff | clflush | roundUp(cpus)<<16 | id<<24
		e.ECX = e.ECX&^feature1ECXPDCM | feature1ECXTSCDeadline | feature1ECXHypervisor
		e.EDX &^= feature1EDXHTT
		if cpus > 1 {
			e.EDX |= feature1EDXHTT
		}
	case leafCacheIntel:
		if e.EAX&0x1f == 0 { // no more caches
			return
		}
		const level3 = 3
		sharing := uint32(0)
		if e.EAX>>5&7 == level3 {
			sharing = roundUp(cpus) - 1
		}
		e.EAX = e.EAX&0x3fff | sharing<<14 | (roundUp(cpus)-1)<<26
	case leafExtFeatures:
		if e.Index == 0 {
			e.ECX &^= feature7ECXWaitpkg
			if amd {
				e.EDX &^= feature7EDXArchCap
			}
		}
	case leafPMU:
		e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
	case leafKVMFeatures:
		e.EAX &^= t.MaskKVMFeatures
	case leafSizes:
		if amd {
			e.ECX = (cpus - 1) | apicIDBits(t.CPUs)<<12
		}
	case leafCacheAMD:
		const level3 = 3
		sharing := uint32(0)
		if e.EAX>>5&7 == level3 {
			sharing = cpus - 1
		}
		e.EAX = e.EAX&0x3fff | sharing<<14
	case leafTopologyAMD:
		e.EAX, e.EBX, e.ECX = id, id&0xff, 0
	}
}

// roundUp returns the next power of two.
func roundUp(n uint32) uint32 {
	p := uint32(1)
	for p < n {
		p <<= 1
	}
	return p
}
