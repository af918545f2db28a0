package pci_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// FuzzRestore has a device go on where a state file says. It refuses, or is as the
// file has it; then a driver that resets it has all of it.
func FuzzRestore(f *testing.F) {
	for _, do := range seeds() {
		x := newFixture(f)
		do(x)
		x.Suspend()
		b, err := proto.Marshal(x.Machine(f))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s := &statev1.Machine{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(file, s) != nil || len(s.Devices) == 0 {
			return
		}
		x := plugIn(t, memory.NewHeap(memory.Range{Size: 1 << 20}), virtiotest.PlugBare)
		if x.take(s) {
			x.wantLike(s)
			x.goOn()
		}
		x.reclaim()
	})
}

// seeds are states to begin with.
func seeds() []func(*fixture) {
	return []func(*fixture){
		func(*fixture) {},
		func(f *fixture) { f.Negotiate(^uint64(0)); f.Place(1, 16, 0x10000, 0x11000, 0x12000) },
		func(f *fixture) {
			f.goLive()
			f.Board.Guest.Write(f.entry(2)+12, 4, 1)
			f.dev.active.Queues[1].Interrupt()
			f.dev.active.ConfigChanged()
		},
		func(f *fixture) {
			f.goLive()
			f.aim(0, uint32(f.Config), 4)
			f.Board.SetConfig(device, pcitest.BAR0, 4, virtiotest.WindowStart+0x8_0000)
			f.Board.Guest.Write(f.common(20), 2, 0) // breaks it
		},
	}
}

// take restores the device and its bus, and reports whether both could be.
func (f *fixture) take(s *statev1.Machine) bool {
	f.t.Helper()
	if err := f.Restore(s.Devices[0]); err != nil {
		var refusal *virtio.StateError
		if !errors.As(err, &refusal) {
			f.t.Fatalf("%v isn't a StateError", err)
		}
		return false
	}
	return f.Board.Root.Restore(s.PciRoot) == nil
}

// wantLike saves what was restored.
func (f *fixture) wantLike(s *statev1.Machine) {
	f.t.Helper()
	was := s.Devices[0].GetPci()
	if was.Window == nil {
		was.Window = &statev1.PCIWindow{}
	}
	for _, e := range was.Msix.Table { // what isn't masked was sent
		e.Pending = e.Pending && (was.Msix.Control>>14 != 2 || e.VectorControl != 0)
	}
	if is := f.Save().GetPci(); !proto.Equal(was, is) {
		f.t.Errorf("%v, was %v", is, was)
	}
	if is := f.Board.Root.Save(); !proto.Equal(s.PciRoot, is) {
		f.t.Errorf("%v, was %v", is, s.PciRoot)
	}
}

// goOn resumes the device. One that is active has no more than it offers.
func (f *fixture) goOn() {
	f.t.Helper()
	f.Resume() // fails where queues are nowhere
	offered := f.dev.Features() | virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx
	if a := f.dev.active; a.Memory != nil && (a.Features&virtio.FeatureVersion1 == 0 || a.Features&^offered != 0) {
		f.t.Errorf("active with features %#x", a.Features)
	}
	for reg := 0; reg < 0x100; reg += 4 {
		f.Board.Guest.Config(device, reg, 4)
	}
}

// reclaim has a driver find the device, wherever it is, reset it and use it.
func (f *fixture) reclaim() {
	f.t.Helper()
	f.Board.SetConfig(device, pcitest.BAR0, 4, uint32(f.Board.BAR))
	f.Board.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory)
	if n := len(f.Board.Doorbells()); n != 2 {
		f.t.Errorf("%d doorbells", n)
	}
	f.Set(virtiotest.Status, 0)
	f.evidence = nil
	f.goLive()
}
