package vcpu

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

const (
	ebxGenu = 0x756e6547 // GenuineIntel
	ebxAuth = 0x68747541 // AuthenticAMD
)

func supported(vendor uint32) []kvm.CPUIDEntry {
	all := ^uint32(0)
	return []kvm.CPUIDEntry{
		{Function: leafVendor, EBX: vendor},
		{Function: leafFeatures, EBX: all, ECX: all, EDX: all},
		{Function: leafCacheIntel, Index: 0, EAX: 1 | 1<<5 | 0x3f<<14 | 0x3f<<26},
		{Function: leafCacheIntel, Index: 3, EAX: 3 | 3<<5 | 0x3f<<14 | 0x3f<<26},
		{Function: leafCacheIntel, Index: 4},
		{Function: leafExtFeatures, ECX: all, EDX: all},
		{Function: leafPMU, EAX: all, EDX: all},
		{Function: leafTopology, Index: 0, EBX: 2},
		{Function: leafTopologyV2, Index: 0, EBX: 2},
		{Function: leafKVMFeatures, EAX: all},
		{Function: leafSizes, ECX: all},
		{Function: leafCacheAMD, Index: 3, EAX: 3 | 3<<5 | 0xfff<<14},
		{Function: leafTopologyAMD, EAX: all, EBX: all, ECX: all},
	}
}

func find(t *testing.T, entries []kvm.CPUIDEntry, function, index uint32) kvm.CPUIDEntry {
	t.Helper()
	for _, e := range entries {
		if e.Function == function && e.Index == index {
			return e
		}
	}
	t.Fatalf("leaf %#x.%d is missing", function, index)
	return kvm.CPUIDEntry{}
}

func TestTopology(t *testing.T) {
	tests := []struct {
		cpus, id  int
		shift     uint32 // APIC ID bits that number the cores
		rounded   uint32
		wantHTT   bool
		wantCores uint32
	}{
		{1, 0, 0, 1, false, 1},
		{2, 1, 1, 2, true, 2},
		{3, 2, 2, 4, true, 3},
		{8, 7, 3, 8, true, 8},
		{32, 31, 5, 32, true, 32},
	}
	for _, tt := range tests {
		entries := Template{CPUs: tt.cpus}.CPUID(supported(ebxGenu), tt.id)
		one := find(t, entries, leafFeatures, 0)
		if one.EBX>>24 != uint32(tt.id) || one.EBX>>16&0xff != tt.rounded || one.EBX>>8&0xff != 8 {
			t.Errorf("%d CPUs: leaf 1 EBX = %#x", tt.cpus, one.EBX)
		}
		if (one.EDX&feature1EDXHTT != 0) != tt.wantHTT {
			t.Errorf("%d CPUs: HTT is %v", tt.cpus, !tt.wantHTT)
		}
		smt, core := find(t, entries, leafTopology, 0), find(t, entries, leafTopology, 1)
		if smt.EAX != 0 || smt.EBX != 1 || smt.ECX != 0x100 || smt.EDX != uint32(tt.id) {
			t.Errorf("%d CPUs: SMT level %+v", tt.cpus, smt)
		}
		if core.EAX != tt.shift || core.EBX != tt.wantCores || core.ECX != 0x201 || core.EDX != uint32(tt.id) {
			t.Errorf("%d CPUs: core level %+v", tt.cpus, core)
		}
		if end := find(t, entries, leafTopology, 2); end.EBX != 0 || end.ECX != 2 {
			t.Errorf("%d CPUs: end of the levels %+v", tt.cpus, end)
		}
		l1, l3 := find(t, entries, leafCacheIntel, 0), find(t, entries, leafCacheIntel, 3)
		if l1.EAX>>14&0xfff != 0 || l3.EAX>>14&0xfff != tt.rounded-1 || l1.EAX>>26 != tt.rounded-1 {
			t.Errorf("%d CPUs: caches %#x, %#x", tt.cpus, l1.EAX, l3.EAX)
		}
	}
}

func TestFeatures(t *testing.T) {
	entries := Template{CPUs: 2, MaskKVMFeatures: 1 << 7}.CPUID(supported(ebxGenu), 0)
	one := find(t, entries, leafFeatures, 0)
	if one.ECX&feature1ECXPDCM != 0 || one.ECX&feature1ECXHypervisor == 0 || one.ECX&feature1ECXTSCDeadline == 0 {
		t.Errorf("leaf 1 ECX = %#x", one.ECX)
	}
	if seven := find(t, entries, leafExtFeatures, 0); seven.ECX&feature7ECXWaitpkg != 0 || seven.EDX&feature7EDXArchCap == 0 {
		t.Errorf("leaf 7 = %+v", seven)
	}
	if pmu := find(t, entries, leafPMU, 0); pmu.EAX|pmu.EBX|pmu.ECX|pmu.EDX != 0 {
		t.Errorf("PMU is offered: %+v", pmu)
	}
	if k := find(t, entries, leafKVMFeatures, 0); k.EAX != ^uint32(1<<7) {
		t.Errorf("KVM features are %#x", k.EAX)
	}
	for _, e := range entries {
		if e.Function == leafTopologyV2 {
			t.Errorf("the host's own topology is offered: %+v", e)
		}
	}
}

func TestAMD(t *testing.T) {
	entries := Template{CPUs: 6}.CPUID(supported(ebxAuth), 5)
	if s := find(t, entries, leafSizes, 0); s.ECX != 5|3<<12 {
		t.Errorf("core count and APIC ID size: %#x", s.ECX)
	}
	if c := find(t, entries, leafCacheAMD, 3); c.EAX>>14&0xfff != 5 {
		t.Errorf("L3 is shared by %d", c.EAX>>14&0xfff+1)
	}
	if n := find(t, entries, leafTopologyAMD, 0); n.EAX != 5 || n.EBX != 5 || n.ECX != 0 {
		t.Errorf("node and core: %+v", n)
	}
	if seven := find(t, entries, leafExtFeatures, 0); seven.EDX&feature7EDXArchCap != 0 {
		t.Error("ARCH_CAPABILITIES is offered")
	}
}

func TestTemplateLeavesInputAlone(t *testing.T) {
	in := supported(ebxAuth)
	Template{CPUs: 4}.CPUID(in, 3)
	for i, e := range supported(ebxAuth) {
		if in[i] != e {
			t.Fatalf("entry %d changed", i)
		}
	}
}

// TestKVMTakesIt sets up real vCPUs, the first and the last of a machine.
func TestKVMTakesIt(t *testing.T) {
	g := kvmtest.New(t, nil, kvmtest.WithIRQChip)
	entries, err := g.System.SupportedCPUID()
	kvmtest.Must(t, err)
	last, err := g.VM.CreateVCPU(31)
	kvmtest.Must(t, err)
	defer last.Close()
	for _, v := range []*kvm.VCPU{g.VCPU, last} {
		kvmtest.Must(t, Template{CPUs: 32}.Reset(v, entries))
		got, err := v.CPUID()
		kvmtest.Must(t, err)
		if core := find(t, got, leafTopology, 1); core.EDX != uint32(v.ID) || core.EBX != 32 {
			t.Errorf("vCPU %d: core level %+v", v.ID, core)
		}
	}
}
