package vcpu

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// BenchmarkRestore restores one vCPU in a process that has done so before.
func BenchmarkRestore(b *testing.B) {
	s := saveGuest(b, newBusyGuest(b)).Cpus[0]
	g := newGuest(b, nil)
	supported := supportedBy(b, g)
	b.ReportAllocs()
	for b.Loop() {
		kvmtest.Must(b, Restore(g.VCPU, s, supported))
	}
}

func BenchmarkRestoreChips(b *testing.B) {
	g := newGuest(b, nil)
	s := saveGuest(b, g).Chips
	for b.Loop() {
		kvmtest.Must(b, RestoreChips(g.VM, s))
	}
}

func BenchmarkSave(b *testing.B) {
	g := newBusyGuest(b)
	msrs, err := g.System.MSRIndexList()
	kvmtest.Must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := Save(g.VCPU, msrs)
		kvmtest.Must(b, err)
	}
}
