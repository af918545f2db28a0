package pci_test

import (
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// TestIdentity holds the header to section 4.1.2.1.
func TestIdentity(t *testing.T) {
	for id, class := range map[virtio.ID]uint32{
		virtio.IDNet: 0x020000, virtio.IDBlock: 0x018000, virtio.IDVsock: 0x078000,
		virtio.IDRNG: 0x108000, virtio.IDBalloon: 0xff0000, 42: 0xff0000,
	} {
		p := virtiotest.Plug(t, virtiotest.PCI, &fake{id: id}, memory.NewHeap(memory.Range{Size: 1 << 20}), func(error) {})
		for reg, want := range map[int]uint32{
			0x00: (0x1040+uint32(id))<<16 | 0x1af4,
			0x08: class<<8 | 1,
			0x2c: (0x1040+uint32(id))<<16 | 0x1af4,
		} {
			if got := p.Board.Guest.Config(device, reg, 4); got != want {
				t.Errorf("type %d: register %#x is %#x, want %#x", id, reg, got, want)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStructures holds the capability list to section 4.1.4: one of each, in
// BAR 0, apart.
func TestStructures(t *testing.T) {
	f := newFixture(t)
	if n := len(f.Board.List(device)); n != 6 {
		t.Errorf("%d capabilities, want MSI-X and 5 of virtio's", n)
	}
	var all []structure
	for kind, size := range map[uint32]int{1: 16, 2: 20, 3: 16, 4: 16, 5: 20} {
		s := f.structure(kind)
		if s.size != size || s.bar != 0 {
			t.Errorf("type %d: %+v, want a capability of %d bytes", kind, s, size)
		}
		if kind != 5 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b structure) int { return a.offset - b.offset })
	for i, s := range all {
		if s.length == 0 || uint64(s.offset+s.length) > f.Size || i > 0 && all[i-1].offset+all[i-1].length > s.offset {
			t.Errorf("%+v overlaps or is outside", s)
		}
	}
	if s := f.structure(1); s.length != 56 || s.offset%4 != 0 {
		t.Errorf("common configuration %+v", s)
	}
	notify := f.structure(2)
	if m := f.Board.Guest.Config(device, notify.at+16, 4); m != 4 || notify.offset%4 != 0 || notify.length != 8 {
		t.Errorf("notifications %+v, %d apart", notify, m)
	}
}

func TestStart(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	a := f.dev.active
	if len(a.Queues) != 2 || a.Queues[0].Size() != 64 || a.Queues[1].Size() != 8 {
		t.Fatalf("activated with %+v", a)
	}
	if want := uint64(1<<3 | virtio.FeatureIndirectDesc | virtio.FeatureEventIdx | virtio.FeatureVersion1); a.Features != want {
		t.Errorf("features %#x, want %#x", a.Features, want)
	}
	f.Notify(1)
	if n, err := a.Queues[1].Kick.Wait(); n != 1 || err != nil {
		t.Errorf("kick: %d, %v", n, err)
	}
	f.Notify(99) // no such queue: nothing happens
	f.wantFine()
}

// TestReadBack reads what was written, as section 4.1.4.3 has it.
func TestReadBack(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Set(virtiotest.QueueSel, 1)
	for reg, want := range map[int]uint64{
		8: 1, 12: 1, // features of word 1: VERSION_1
		16: 0, 18: 2, 20: 15, 22: 1, 24: 8, 26: 2, 28: 1, 30: 1,
		32: 0x20000, 36: 0, 40: 0x21000, 44: 0, 48: 0x22000, 52: 0,
	} {
		width := 2
		if reg < 16 || reg >= 32 {
			width = 4
		}
		if reg == 20 {
			width = 1
		}
		if got := f.Board.Guest.Read(f.common(reg), width); got != want {
			t.Errorf("offset %d is %#x, want %#x", reg, got, want)
		}
	}
	f.Set(virtiotest.QueueSel, 2) // there is none
	for reg, want := range map[int]uint64{24: 0, 26: 0xffff, 28: 0, 30: 0} {
		if got := f.Board.Guest.Read(f.common(reg), 2); got != want {
			t.Errorf("no such queue: offset %d is %#x, want %#x", reg, got, want)
		}
	}
}

func TestReset(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.dev.active.ConfigChanged()
	f.Set(virtiotest.Status, 0)
	if f.dev.resets != 1 || f.Get(virtiotest.Status) != 0 || f.Get(virtiotest.QueueReady) != 0 {
		t.Error("reset left something behind")
	}
	if isr := f.Board.Guest.Read(f.isr(), 1); isr != 0 {
		t.Errorf("ISR status %d after a reset", isr)
	}
	for _, reg := range []int{virtiotest.RegConfigVector, virtiotest.RegQueueVector} {
		if v := f.Board.Guest.Read(f.common(reg), 2); v != 0xffff {
			t.Errorf("vector %#x at %d after a reset; section 4.1.5.1.2.1", v, reg)
		}
	}
	f.goLive()
}

// TestConfigGeneration holds the generation to section 4.1.4.3.1: it is another
// once the driver has read something new.
func TestConfigGeneration(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	read := func() uint32 {
		f.Board.Guest.Read(f.Board.BAR+f.Config, 4)
		return f.Get(virtiotest.ConfigGeneration)
	}
	before := read()
	if again := read(); again != before {
		t.Error("the generation changed by itself")
	}
	f.dev.config[0]++
	f.dev.active.ConfigChanged()
	if after := read(); after == before {
		t.Error("the generation is the same after a change")
	}
	// 256 changes that nobody reads count as one: the register has 8 bits.
	before = read()
	for range 256 {
		f.dev.active.ConfigChanged()
	}
	if after := read(); after == before {
		t.Error("the generation is the same after 256 changes")
	}
}

func TestDeviceConfig(t *testing.T) {
	f := newFixture(t)
	f.dev.config = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	at := f.Board.BAR + f.Config
	if got := f.Board.Guest.Read(at+4, 8); got != 0x08070605 {
		t.Errorf("read %#x", got)
	}
	f.Board.Guest.Write(at+6, 2, 0x1122)
	if got := f.Board.Guest.Read(at, 8); got != 0x1122060504030201 {
		t.Errorf("read %#x after a write", got)
	}
	if got := f.Board.Guest.Read(at+0xffc, 4); got != 0 {
		t.Errorf("read %#x beyond the device's space", got)
	}
}

// TestDoorbellsMove: they are where the BAR is, and nowhere if it isn't decoded.
func TestDoorbellsMove(t *testing.T) {
	f := newFixture(t)
	notify := uint64(f.structure(2).offset)
	want := func(bar uint64) {
		t.Helper()
		got := f.Board.Doorbells()
		slices.Sort(got)
		if bar == 0 && len(got) != 0 || bar != 0 && !slices.Equal(got, []uint64{bar + notify, bar + notify + 4}) {
			t.Errorf("doorbells at %#x, the BAR is at %#x", got, bar)
		}
	}
	want(f.Board.BAR)
	for _, bar := range []uint64{virtiotest.WindowStart + 0x80000, virtiotest.WindowStart + 0x88000} {
		f.Board.SetConfig(device, pcitest.BAR0, 4, uint32(bar))
		want(bar)
	}
	f.Board.SetConfig(device, pcitest.BAR0, 4, 0xfee00000) // the local APIC's place
	want(0)
	f.Board.SetConfig(device, pcitest.BAR0, 4, 0xffffffff) // sizing
	want(0)
	f.Board.SetConfig(device, pcitest.BAR0, 4, uint32(f.Board.BAR))
	want(f.Board.BAR)
	f.Board.SetConfig(device, pcitest.Command, 2, 0)
	want(0)
	f.Board.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory)
	f.goLive()
	want(f.Board.BAR)
}
