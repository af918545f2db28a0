package vcpu

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// A register of CPUID with feature bits.
type featureWord struct {
	name     string
	function uint32
	index    uint32
	register func(kvm.CPUIDEntry) uint32
}

// featureWords are those whose every bit is something that a guest may use once it
// has seen it; Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
func featureWords() []featureWord {
	eax := func(e kvm.CPUIDEntry) uint32 { return e.EAX }
	ebx := func(e kvm.CPUIDEntry) uint32 { return e.EBX }
	ecx := func(e kvm.CPUIDEntry) uint32 { return e.ECX }
	edx := func(e kvm.CPUIDEntry) uint32 { return e.EDX }
	return []featureWord{
		{"1.ECX", leafFeatures, 0, ecx}, {"1.EDX", leafFeatures, 0, edx},
		{"7.EBX", leafExtFeatures, 0, ebx}, {"7.ECX", leafExtFeatures, 0, ecx}, {"7.EDX", leafExtFeatures, 0, edx},
		{"7.1.EAX", leafExtFeatures, 1, eax},
		{"0xd.EAX", leafXSave, 0, eax}, {"0xd.1.EAX", leafXSave, 1, eax},
		{"0x80000001.ECX", leafExtAMD, 0, ecx}, {"0x80000001.EDX", leafExtAMD, 0, edx},
		{"0x40000001.EAX", leafKVMFeatures, 0, eax},
	}
}

// given are bits that a machine has whatever KVM says it supports: the hypervisor's
// own, the deadline of the local APIC's timer, more than one processor in a
// package, and what follows from a guest's control registers.
func given(name string) uint32 {
	switch name {
	case "1.ECX":
		return feature1ECXHypervisor | feature1ECXTSCDeadline | feature1ECXOSXSave
	case "1.EDX":
		return feature1EDXHTT | feature1EDXAPIC
	case "7.ECX":
		return feature7ECXOSPKE
	}
	return 0
}

// compatible compares what CPUID said to a guest with what this host supports. It
// fails with *StateError and the names of what is missing.
func compatible(saved, supported []kvm.CPUIDEntry) error {
	if len(saved) == 0 {
		return &StateError{"it has no CPUID"}
	}
	if was, is := vendor(saved), vendor(supported); was != is {
		return &StateError{fmt.Sprintf("it was a processor of %s, this host's is of %s: restore it on a host with the same vendor's", was, is)}
	}
	var missing []string
	for _, w := range featureWords() {
		was, is := w.of(saved), w.of(supported)
		if lost := was &^ is &^ given(w.name); lost != 0 {
			missing = append(missing, fmt.Sprintf("%s %#x", w.name, lost))
		}
	}
	if missing != nil {
		return &StateError{"this host lacks features that its guest has seen, by CPUID's words: " + strings.Join(missing, ", ") +
			": restore it on a host with a processor as new"}
	}
	return nil
}

func (w featureWord) of(entries []kvm.CPUIDEntry) uint32 {
	i := slices.IndexFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == w.function && e.Index == w.index })
	if i < 0 {
		return 0
	}
	return w.register(entries[i])
}

// vendor returns leaf 0's twelve letters.
func vendor(entries []kvm.CPUIDEntry) string {
	i := slices.IndexFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == leafVendor })
	if i < 0 {
		return "no vendor"
	}
	var b []byte
	for _, v := range []uint32{entries[i].EBX, entries[i].EDX, entries[i].ECX} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return string(b)
}
