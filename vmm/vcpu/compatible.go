package vcpu

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// CPUIDError says that a guest was told of a processor that this host's can't
// stand in for.
type CPUIDError struct {
	SavedVendor, HostVendor string   // as CPUID spells them: GenuineIntel
	Missing                 []string // features by Linux' names; none if the vendors differ
}

func (e *CPUIDError) Error() string {
	if e.SavedVendor != e.HostVendor {
		return fmt.Sprintf("the snapshot is of a processor of %q, this host's is of %q: restore it on a host like the first",
			e.SavedVendor, e.HostVendor)
	}
	const most = 12
	names, more := e.Missing, ""
	if len(names) > most {
		names, more = names[:most], fmt.Sprintf(" and %d more", len(names)-most)
	}
	return fmt.Sprintf("the guest was told of %s%s, which this host's processor or kernel doesn't have: restore the snapshot on a host that has, or take it on the least of your hosts",
		strings.Join(names, ", "), more)
}

// checkCPUID says whether this host has what a guest was told of by CPUID. It
// fails with *CPUIDError. v is new, and its CPUID is to be set anew.
func checkCPUID(v *kvm.VCPU, supported, saved []kvm.CPUIDEntry) error {
	if covers(supported, saved) {
		return nil
	}
	// Some hosts tell guests what they have themselves in some leaves, supported or
	// not, and so told this one.
	if err := v.SetCPUID(supported); err != nil {
		return err
	}
	own, err := v.CPUID()
	if err != nil {
		return err
	}
	return compareCPUID(saved, own)
}

// covers reports whether the host has every feature of saved.
func covers(host, saved []kvm.CPUIDEntry) bool {
	for _, w := range featureWords {
		if w.lacking(saved, host) != 0 {
			return false
		}
	}
	return vendor(saved) == vendor(host) && physBits(saved) <= physBits(host)
}

// compareCPUID fails with *CPUIDError if the host lacks a feature of saved.
func compareCPUID(saved, host []kvm.CPUIDEntry) error {
	if covers(host, saved) {
		return nil
	}
	e := &CPUIDError{SavedVendor: vendor(saved), HostVendor: vendor(host)}
	if e.SavedVendor != e.HostVendor {
		return e
	}
	for _, w := range featureWords {
		lacking := w.lacking(saved, host)
		for bit := range 32 {
			if lacking>>bit&1 != 0 {
				e.Missing = append(e.Missing, w.name(bit))
			}
		}
	}
	if bits := physBits(saved); bits > physBits(host) {
		e.Missing = append(e.Missing, fmt.Sprintf("%d-bit physical addresses", bits))
	}
	return e
}

// leaf returns zeroes where there is none, as CPUID does.
func leaf(entries []kvm.CPUIDEntry, function, index uint32) kvm.CPUIDEntry {
	i := slices.IndexFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == function && e.Index == index })
	if i < 0 {
		return kvm.CPUIDEntry{}
	}
	return entries[i]
}

func vendor(entries []kvm.CPUIDEntry) string {
	e := leaf(entries, leafVendor, 0)
	name := binary.LittleEndian.AppendUint32(nil, e.EBX)
	name = binary.LittleEndian.AppendUint32(name, e.EDX)
	name = binary.LittleEndian.AppendUint32(name, e.ECX)
	return strings.TrimRight(string(name), "\x00")
}

func physBits(entries []kvm.CPUIDEntry) uint32 { return leaf(entries, leafSizes, 0).EAX & 0xff }
