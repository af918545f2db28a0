package vcpu

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

func TestCompareCPUID(t *testing.T) {
	host := []kvm.CPUIDEntry{
		{Function: 0, EBX: ebxGenu, EDX: 0x49656e69, ECX: 0x6c65746e},
		{Function: 1, ECX: 1<<0 | 1<<28, EDX: 1 << 25},
		{Function: 7, EBX: 1 << 5},
		{Function: 0xd, EAX: 7},
		{Function: 0x80000008, EAX: 46},
	}
	change := func(function uint32, f func(*kvm.CPUIDEntry)) []kvm.CPUIDEntry {
		saved := slices.Clone(host)
		for i := range saved {
			if saved[i].Function == function {
				f(&saved[i])
			}
		}
		return saved
	}
	amd := []kvm.CPUIDEntry{{Function: 0, EBX: ebxAuth, EDX: 0x69746e65, ECX: 0x444d4163}}
	tests := []struct {
		name  string
		saved []kvm.CPUIDEntry
		want  string // in the error; none if empty
	}{
		{"the same", host, ""},
		{"less", change(1, func(e *kvm.CPUIDEntry) { e.ECX = 0 }), ""},
		{"what KVM makes up", change(1, func(e *kvm.CPUIDEntry) { e.ECX |= 1<<27 | 1<<24 | 1<<31; e.EDX |= 1 << 28 }), ""},
		{"other serial numbers", change(1, func(e *kvm.CPUIDEntry) { e.EAX, e.EBX = 0x50657, 0x01020800 }), ""},
		{"another vendor", amd, `of "AuthenticAMD", this host's is of "GenuineIntel"`},
		{"nothing", nil, `of "", this host's`},
		{"RDRAND", change(1, func(e *kvm.CPUIDEntry) { e.ECX |= 1 << 30 }), "told of rdrand,"},
		{"AVX-512", change(7, func(e *kvm.CPUIDEntry) { e.EBX |= 1<<16 | 1<<31 }), "told of avx512f, avx512vl,"},
		{"its state", change(0xd, func(e *kvm.CPUIDEntry) { e.EAX |= 1 << 5 }), "xcr0_opmask"},
		{"one without a name", change(7, func(e *kvm.CPUIDEntry) { e.ECX |= 1 << 15 }), "CPUID 0x7.0 ECX bit 15"},
		{"wider addresses", change(0x80000008, func(e *kvm.CPUIDEntry) { e.EAX = 52 }), "52-bit physical addresses"},
		{"many", change(7, func(e *kvm.CPUIDEntry) { e.EBX = ^uint32(0) }), "and 19 more"},
	}
	for _, tt := range tests {
		err := compareCPUID(tt.saved, host)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if e := (*CPUIDError)(nil); !errors.As(err, &e) || !strings.Contains(e.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

// TestFeatureNames counts: a name too few would shift the others.
func TestFeatureNames(t *testing.T) {
	for _, w := range featureWords {
		names := strings.Fields(w.names)
		if len(names) > 32 {
			t.Errorf("%#x.%d %v has %d names", w.function, w.index, w.register, len(names))
		}
		for i, line := range strings.Split(strings.TrimSpace(w.names), "\n") {
			if n := len(strings.Fields(line)); i == 0 && n != 16 && len(names) > n {
				t.Errorf("%#x.%d %v: %d names in its first line", w.function, w.index, w.register, n)
			}
		}
	}
	for _, known := range []struct {
		function, index uint32
		register        register
		bit             int
		name            string
	}{
		{1, 0, regECX, 19, "sse4_1"}, {1, 0, regECX, 28, "avx"}, {1, 0, regECX, 13, "cx16"}, {1, 0, regEDX, 24, "fxsr"},
		{7, 0, regEBX, 5, "avx2"}, {7, 0, regEBX, 20, "smap"}, {7, 0, regEBX, 29, "sha_ni"}, {7, 0, regECX, 16, "la57"},
		{7, 0, regECX, 22, "rdpid"}, {7, 0, regEDX, 10, "md_clear"}, {7, 0, regEDX, 24, "amx_tile"}, {7, 0, regEDX, 29, "arch_capabilities"},
		{7, 1, regEAX, 5, "avx512_bf16"}, {7, 1, regEAX, 21, "amx_fp16"}, {7, 1, regEAX, 26, "lam"}, {0xd, 0, regEAX, 18, "xcr0_tiledata"},
		{0xd, 1, regEAX, 3, "xsaves"}, {0x40000001, 0, regEAX, 7, "kvm_pv_unhalt"}, {0x40000001, 0, regEAX, 24, "kvmclock_stable"},
		{0x80000001, 0, regEDX, 26, "pdpe1gb"}, {0x80000001, 0, regEDX, 29, "lm"}, {0x80000001, 0, regECX, 5, "abm"},
		{0x80000008, 0, regEBX, 12, "ibpb"}, {0x80000008, 0, regEBX, 24, "ssbd"}, {0x8000000a, 0, regEDX, 13, "avic"},
	} {
		i := slices.IndexFunc(featureWords[:], func(w featureWord) bool {
			return w.function == known.function && w.index == known.index && w.register == known.register
		})
		if i < 0 || featureWords[i].name(known.bit) != known.name {
			t.Errorf("%s isn't bit %d of %#x.%d %v", known.name, known.bit, known.function, known.index, known.register)
		}
	}
}

// TestCPUIDOfThisHost compares with the real host.
func TestCPUIDOfThisHost(t *testing.T) {
	good := saveGuest(t, newGuest(t, nil)).Cpus[0]
	more := proto.CloneOf(good)
	i := slices.IndexFunc(more.Cpuid, func(e *statev1.CPUID) bool { return e.Function == leafKVMFeatures })
	more.Cpuid[i].Eax |= 1 << 30
	err := restoreNew(t, more)
	var state *StateError
	if e := (*CPUIDError)(nil); !errors.As(err, &state) || !errors.As(err, &e) || !slices.Equal(e.Missing, []string{"CPUID 0x40000001.0 EAX bit 30"}) {
		t.Errorf("a feature that no host has: %v", err)
	}
	if err := restoreNew(t, good); err != nil {
		t.Error(err)
	}
}
