package pci_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// restored returns a bus like f's that goes on where f's is.
func (f *fixture) restored(t *testing.T) *fixture {
	t.Helper()
	next := newFixture(t, len(f.regions))
	if err := next.root.Restore(f.root.Save()); err != nil {
		t.Fatal(err)
	}
	return next
}

// TestRestore moves, enables and notes all kinds of things: the other bus has them
// likewise, and memory is where it was.
func TestRestore(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"nothing":        func(*fixture) {},
		"decoded":        func(f *fixture) { f.decode(2, 0) },
		"moved":          func(f *fixture) { f.decode(1, windowStart+0x8_0000); f.decode(3, windowStart) },
		"exchanged":      func(f *fixture) { f.decode(1, windowStart+regionSize); f.decode(2, windowStart) },
		"on one another": func(f *fixture) { f.decode(2, windowStart+0x2000); f.decode(1, windowStart+0x2000) },
		"being sized":    func(f *fixture) { f.decode(1, 0); f.SetConfig(1, pcitest.BAR0, 4, 0xffff_ffff) },
		"over RAM":       func(f *fixture) { f.decode(1, 0x10_0000) },
		"notes":          func(f *fixture) { f.SetConfig(1, 0x3c, 1, 11); f.SetConfig(0, 0x3c, 1, 255) },
		"commands": func(f *fixture) {
			f.SetConfig(0, pcitest.Command, 2, 0xffff)
			f.SetConfig(2, pcitest.Command, 2, 0xffff&^pcitest.CommandMemory)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 3)
			do(f)
			f.SetConfig(1, 0x40+4, 4, 1) // a capability's own is another's business
			next := f.restored(t)
			if was, is := f.root.Save(), next.root.Save(); !proto.Equal(was, is) {
				t.Errorf("%v, was %v", is, was)
			}
			for i, r := range next.regions {
				if r.at != f.regions[i].at {
					t.Errorf("device %d is at %#x, was at %#x", i+1, r.at, f.regions[i].at)
				}
			}
			next.check(t)
			for i := range next.regions { // and the guest can go on
				next.decode(i+1, windowStart+0x4_0000+uint32(i)*regionSize)
			}
			next.check(t)
			if next.regions[2].at != windowStart+0x4_0000+2*regionSize {
				t.Errorf("the last device is at %#x", next.regions[2].at)
			}
		})
	}
}

// TestRestoreAddress saves between a write of the address and an access to the
// data.
func TestRestoreAddress(t *testing.T) {
	f := newFixture(t, 2)
	f.Select(2, 0)
	next := f.restored(t)
	b := make([]byte, 4)
	if next.IO.Read(0xcfc, b); b[2] != 0x41 {
		t.Errorf("% x, want the second device's ID", b)
	}
}

// TestRestoreRefuses forges states that no guest can bring about. Nothing changes.
func TestRestoreRefuses(t *testing.T) {
	for name, forge := range map[string]func(s *statev1.PCIRoot){
		"nothing":                 func(s *statev1.PCIRoot) { proto.Reset(s) },
		"reserved address bits":   func(s *statev1.PCIRoot) { s.ConfigAddress = 1 << 24 },
		"unaligned address":       func(s *statev1.PCIRoot) { s.ConfigAddress |= 3 },
		"a function less":         func(s *statev1.PCIRoot) { s.Functions = s.Functions[:2] },
		"a function more":         func(s *statev1.PCIRoot) { s.Functions = append(s.Functions, &statev1.PCIFunction{}) },
		"I/O space":               func(s *statev1.PCIRoot) { s.Functions[1].Command |= 1 },
		"command of 17 bits":      func(s *statev1.PCIRoot) { s.Functions[1].Command |= 1 << 16 },
		"the bridge decodes":      func(s *statev1.PCIRoot) { s.Functions[0].Command |= pcitest.CommandMemory },
		"the bridge has a BAR":    func(s *statev1.PCIRoot) { s.Functions[0].Bar0 = windowStart },
		"an unaligned BAR":        func(s *statev1.PCIRoot) { s.Functions[2].Bar0 |= regionSize / 2 },
		"a BAR in I/O space":      func(s *statev1.PCIRoot) { s.Functions[2].Bar0 |= 1 },
		"interrupt line of 9 bit": func(s *statev1.PCIRoot) { s.Functions[2].InterruptLine = 0x100 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 2)
			f.decode(1, 0)
			f.decode(2, 0)
			s := f.root.Save()
			forge(s)
			next := newFixture(t, 2)
			before := next.root.Save()
			if err := next.root.Restore(s); err == nil {
				t.Error("accepted")
			}
			if after := next.root.Save(); !proto.Equal(before, after) || next.regions[0].at != 0 {
				t.Errorf("%v, was %v", after, before)
			}
		})
	}
	if err := newFixture(t, 2).root.Restore(nil); err == nil {
		t.Error("the state of no bus was accepted")
	}
}
