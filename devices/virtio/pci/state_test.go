package pci_test

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// restored returns a device that goes on where f's is, not resumed yet.
func (f *fixture) restored() *fixture {
	f.t.Helper()
	f.Suspend()
	m := f.Machine(f.t)
	next := plugIn(f.t, f.mem, func(t testing.TB, transport virtiotest.Transport, dev virtio.Device, mem *memory.Memory, report func(error)) *virtiotest.Port {
		return virtiotest.PlugRestored(t, transport, dev, mem, report, m)
	})
	next.Board.BAR = f.Board.BAR
	if is := next.Machine(f.t); !proto.Equal(is, m) {
		f.t.Errorf("%v, was %v", is, m)
	}
	return next
}

func (f *fixture) resume() {
	f.t.Helper()
	if err := f.Resume(); err != nil {
		f.t.Fatal(err)
	}
}

// TestRestoreReadBack leaves registers of all kinds somewhere, and reads them from
// the device that goes on.
func TestRestoreReadBack(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Set(virtiotest.QueueSel, 1)
	f.setVector(virtiotest.RegQueueVector, 0xffff)
	f.setVector(virtiotest.RegConfigVector, 2)
	f.Set(virtiotest.DeviceFeaturesSel, 7)
	f.Board.Guest.Write(f.entry(2)+12, 4, 1)
	f.dev.active.ConfigChanged() // the ISR status, and a pending bit
	f.aim(0, uint32(f.structure(1).offset)+18, 2)
	f.Board.Guest.Config(device, f.structure(5).at+16, 4)
	f.Board.BAR = virtiotest.WindowStart + 0x8_0000
	f.Board.SetConfig(device, pcitest.BAR0, 4, uint32(f.Board.BAR))
	f.Board.SetConfig(device, 0x3c, 1, 9)
	next := f.restored()
	for reg := 0; reg < 0x100; reg += 4 {
		if was, is := f.Board.Guest.Config(device, reg, 4), next.Board.Guest.Config(device, reg, 4); was != is {
			t.Errorf("configuration register %#x is %#x, was %#x", reg, is, was)
		}
	}
	for offset := range f.Size {
		for width := range 8 {
			at := f.Board.BAR + offset
			if was, is := f.Board.Guest.Read(at, width+1), next.Board.Guest.Read(at, width+1); was != is {
				t.Fatalf("%d bytes at %#x of the BAR are %#x, were %#x", width+1, offset, is, was)
			}
		}
	}
	was, is := f.Board.Doorbells(), next.Board.Doorbells()
	slices.Sort(was)
	slices.Sort(is)
	if !slices.Equal(was, is) || len(is) != 2 {
		t.Errorf("doorbells at %#x, were at %#x", is, was)
	}
	f.wantFine()
	next.wantFine()
}

// TestRestoreInterrupts has a masked vector's event pending: it stays so, and is
// sent on unmask. What might have been on its way is sent by its own vector.
func TestRestoreInterrupts(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Board.Guest.Write(f.entry(2)+12, 4, 1)
	f.dev.active.Queues[1].Interrupt()
	next := f.restored()
	for i := range next.Board.Vectors {
		next.wantSent(i)
	}
	if p := next.pending(); p != 1<<2 {
		t.Errorf("pending %b before it goes on", p)
	}
	next.resume()
	next.wantSent(0, 0)
	next.wantSent(1, 1)
	next.wantSent(2)
	next.dev.active.Queues[0].Interrupt()
	next.dev.active.Queues[1].Interrupt()
	next.wantSent(1, 1, 1)
	next.Board.Guest.Write(next.entry(2)+12, 4, 0)
	next.wantSent(2, 2)
	if p := next.pending(); p != 0 {
		t.Errorf("pending %b after it was sent", p)
	}
	next.wantFine()
}

// TestRestoreGeneration: the driver sees whether the configuration is as it read
// it, across the move.
func TestRestoreGeneration(t *testing.T) {
	for name, changed := range map[string]bool{"as it was": false, "changed and not read": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.goLive()
			for range 3 {
				f.dev.active.ConfigChanged()
				f.Board.Guest.Read(f.Board.BAR+f.Config, 4)
			}
			before := f.Get(virtiotest.ConfigGeneration)
			if changed {
				f.dev.active.ConfigChanged()
			}
			next := f.restored()
			next.Board.Guest.Read(next.Board.BAR+next.Config, 4)
			if after := next.Get(virtiotest.ConfigGeneration); (after != before) != changed {
				t.Errorf("generation %d, was %d", after, before)
			}
			before = next.Get(virtiotest.ConfigGeneration)
			next.resume() // which says that the configuration may be another
			next.Board.Guest.Read(next.Board.BAR+next.Config, 4)
			if after := next.Get(virtiotest.ConfigGeneration); after == before {
				t.Error("the generation is the same after it went on")
			}
		})
	}
}

// TestRestoreWindow saves between the window's aim and its use.
func TestRestoreWindow(t *testing.T) {
	f := newFixture(t)
	f.dev.config = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	f.goLive()
	data := f.aim(0, uint32(f.Config)+4, 4)
	next := f.restored()
	next.dev.config = f.dev.config
	if got := next.Board.Guest.Config(device, data, 4); got != 0x08070605 {
		t.Errorf("configuration %#x", got)
	}
	next.aim(1, 0, 4) // nothing happens until the data is accessed
	last := next.restored()
	last.wantFine()
	last.Board.Guest.Config(device, data, 4)
	last.wantNeedsReset("4.1.4.9.2")
}

// TestRestoreOnTheWay saves a driver that has yet to set the device up, or is about
// to reset it.
func TestRestoreOnTheWay(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"fresh":      func(*fixture) {},
		"negotiated": func(f *fixture) { f.Negotiate(^uint64(0)); f.Place(0, 64, 0x10000, 0x11000, 0x12000) },
		"broken":     func(f *fixture) { f.goLive(); f.Board.Guest.Write(f.common(20), 2, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			do(f)
			next := f.restored()
			next.resume()
			if next.dev.active.Memory != nil {
				t.Error("the device was started")
			}
			if was, is := f.Get(virtiotest.Status), next.Get(virtiotest.Status); was != is {
				t.Errorf("status %#x, was %#x", is, was)
			}
			next.goLive()
			next.dev.active.Queues[1].Interrupt()
			next.wantSent(2, 2)
		})
	}
}

// TestRestoreRouteRefused: a machine that can't send a message has the device ask
// for a reset, as when the driver unmasks it.
func TestRestoreRouteRefused(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Suspend()
	m := f.Machine(t)
	next := plugIn(t, f.mem, virtiotest.PlugBare)
	refusal := errors.New("no")
	next.Board.Vectors[1].Refuse(refusal)
	if err := next.Restore(m.Devices[0]); err != nil {
		t.Fatal(err)
	}
	next.resume()
	if s := next.Status(); s&virtio.StatusNeedsReset == 0 || next.dev.active.Memory != nil {
		t.Errorf("status %v", s)
	}
	if len(next.evidence) != 1 || !errors.Is(next.evidence[0], refusal) {
		t.Errorf("evidence %v", next.evidence)
	}
}

// TestRestoreRefuses forges states that no driver can bring about.
func TestRestoreRefuses(t *testing.T) {
	for name, forge := range map[string]func(s *statev1.Device, p *statev1.PCI){
		"no transport":           func(s *statev1.Device, _ *statev1.PCI) { s.Transport = nil },
		"another transport":      func(s *statev1.Device, _ *statev1.PCI) { s.Transport = &statev1.Device_Mmio{Mmio: &statev1.MMIO{}} },
		"another device":         func(s *statev1.Device, _ *statev1.PCI) { s.Type++ },
		"no registers":           func(_ *statev1.Device, p *statev1.PCI) { proto.Reset(p) },
		"ISR status":             func(_ *statev1.Device, p *statev1.PCI) { p.Isr = 4 },
		"queue 65536 selected":   func(_ *statev1.Device, p *statev1.PCI) { p.QueueSel = 0x1_0000 },
		"configuration's vector": func(_ *statev1.Device, p *statev1.PCI) { p.ConfigVector = 3 },
		"vector of 17 bits":      func(_ *statev1.Device, p *statev1.PCI) { p.ConfigVector = 0x1_ffff },
		"a vector less":          func(_ *statev1.Device, p *statev1.PCI) { p.QueueVectors = p.QueueVectors[1:] },
		"a vector more":          func(_ *statev1.Device, p *statev1.PCI) { p.QueueVectors = append(p.QueueVectors, 0) },
		"a queue's vector":       func(_ *statev1.Device, p *statev1.PCI) { p.QueueVectors[1] = 3 },
		"a queue's wild vector":  func(_ *statev1.Device, p *statev1.PCI) { p.QueueVectors[0] = ^uint32(0) },
		"window of BAR 256":      func(_ *statev1.Device, p *statev1.PCI) { p.Window.Bar = 0x100 },
		"no MSI-X":               func(_ *statev1.Device, p *statev1.PCI) { p.Msix = nil },
		"MSI-X of a vector less": func(_ *statev1.Device, p *statev1.PCI) { p.Msix.Table = p.Msix.Table[1:] },
		"MSI-X of another size":  func(_ *statev1.Device, p *statev1.PCI) { p.Msix.Control-- },
		"reserved MSI-X bits":    func(_ *statev1.Device, p *statev1.PCI) { p.Msix.Table[0].VectorControl = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.goLive()
			f.Suspend()
			s := f.Save()
			forge(s, s.GetPci())
			next := plugIn(t, f.mem, virtiotest.PlugBare)
			var refusal *virtio.StateError
			if err := next.Restore(s); !errors.As(err, &refusal) {
				t.Errorf("error %v, want a StateError", err)
			}
			for i := range next.Board.Vectors {
				next.wantSent(i)
			}
		})
	}
}
