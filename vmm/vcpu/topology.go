package vcpu

import (
	"math/bits"
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// CPUID leaves and bits; Intel SDM volume 2, CPUID, and AMD APM volume 3,
// appendix E.
const (
	leafVendor      = 0x0
	leafFeatures    = 0x1
	leafCacheIntel  = 0x4
	leafExtFeatures = 0x7
	leafPMU         = 0xa
	leafTopology    = 0xb
	leafXSave       = 0xd
	leafTopologyV2  = 0x1f
	leafKVMFeatures = 0x40000001
	leafExtAMD      = 0x80000001
	leafPower       = 0x80000007
	leafSizes       = 0x80000008
	leafSVM         = 0x8000000a
	leafCacheAMD    = 0x8000001d
	leafTopologyAMD = 0x8000001e
	leafExtAMD2     = 0x80000021

	feature1ECXMonitor     = 1 << 3
	feature1ECXPDCM        = 1 << 15
	feature1ECXTSCDeadline = 1 << 24
	feature1ECXOSXSave     = 1 << 27
	feature1ECXHypervisor  = 1 << 31
	feature1EDXAPIC        = 1 << 9
	feature1EDXHTT         = 1 << 28
	feature7ECXOSPKE       = 1 << 4
	feature7ECXWaitpkg     = 1 << 5
	feature7EDXArchCap     = 1 << 29
	featureAMDECXCmpLegacy = 1 << 1
	featureAMDEDXAPIC      = 1 << 9

	levelSMT  = 1
	levelCore = 2
)

// Topology of a machine: one socket of single-threaded cores, with APIC IDs
// from 0.

// apicIDBits is how many bits of an APIC ID number the cores.
func apicIDBits(cpus int) uint32 { return uint32(bits.Len(uint(cpus - 1))) }

// topologyLeaf is one level of leaf 0xb.
func topologyLeaf(level, shift, count, kind, apicID uint32) kvm.CPUIDEntry {
	return kvm.CPUIDEntry{
		Function: leafTopology,
		Index:    level,
		Flags:    kvm.CPUIDFlagSignificantIndex,
		EAX:      shift,
		EBX:      count,
		ECX:      kind<<8 | level,
		EDX:      apicID,
	}
}

// withTopology replaces the extended topology leaves, which KVM fills with the
// host's.
func withTopology(entries []kvm.CPUIDEntry, cpus, id int) []kvm.CPUIDEntry {
	entries = slices.DeleteFunc(entries, func(e kvm.CPUIDEntry) bool {
		return e.Function == leafTopology || e.Function == leafTopologyV2
	})
	return append(entries,
		topologyLeaf(0, 0, 1, levelSMT, uint32(id)),
		topologyLeaf(1, apicIDBits(cpus), uint32(cpus), levelCore, uint32(id)),
		topologyLeaf(2, 0, 0, 0, uint32(id)),
	)
}
