package pci_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const device = 1 // on the bus

// fake is a device with two queues that remembers what it is told.
type fake struct {
	id     virtio.ID
	active virtio.Activation
	resets int
	config [8]byte
}

func (f *fake) ID() virtio.ID                      { return f.id }
func (f *fake) Features() uint64                   { return 1 << 3 }
func (f *fake) QueueSizes() []uint16               { return []uint16{64, 16} }
func (f *fake) ReadConfig(off uint64, p []byte)    { virtio.ReadConfig(f.config[:], off, p) }
func (f *fake) WriteConfig(off uint64, p []byte)   { copy(f.config[min(off, 8):], p) }
func (f *fake) Activate(a virtio.Activation) error { f.active = a; return nil }
func (f *fake) Reset()                             { f.resets++; f.active = virtio.Activation{} }
func (f *fake) Suspend()                           {}
func (f *fake) Resume()                            {}
func (f *fake) Save(*statev1.Device)               {}
func (f *fake) Restore(*statev1.Device) error      { return nil }

type fixture struct {
	*virtiotest.Port
	t   testing.TB
	dev *fake
	mem *memory.Memory

	mu       sync.Mutex
	evidence []error
}

// plugging is one of virtiotest's ways to plug a device in.
type plugging func(testing.TB, virtiotest.Transport, virtio.Device, *memory.Memory, func(error)) *virtiotest.Port

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return plugIn(t, memory.NewHeap(memory.Range{Size: 1 << 20}), virtiotest.Plug)
}

func plugIn(t testing.TB, mem *memory.Memory, plug plugging) *fixture {
	t.Helper()
	f := &fixture{t: t, dev: &fake{id: virtio.IDBlock}, mem: mem}
	f.Port = plug(t, virtiotest.PCI, f.dev, mem, func(err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.evidence = append(f.evidence, err)
	})
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) goLive() {
	f.t.Helper()
	f.Negotiate(^uint64(0))
	for i, size := range []uint16{64, 8} {
		base := memory.GPA(i+1) << 16
		f.Place(i, size, base, base+0x1000, base+0x2000)
		f.Set(virtiotest.QueueReady, 1)
	}
	f.Set(virtiotest.Status, virtiotest.Running)
	f.wantFine()
}

func (f *fixture) wantFine() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.Get(virtiotest.Status); s&virtiotest.NeedsReset != 0 || len(f.evidence) > 0 {
		f.t.Fatalf("status %#x, evidence %v", s, f.evidence)
	}
}

// wantNeedsReset checks that there is one event, of that section, and that a
// reset brings the device back.
func (f *fixture) wantNeedsReset(section string) {
	f.t.Helper()
	if s := f.Get(virtiotest.Status); s&virtiotest.NeedsReset == 0 {
		f.t.Errorf("status is %#x, want DEVICE_NEEDS_RESET", s)
	}
	f.mu.Lock()
	var e *virtqueue.ProtocolError
	if len(f.evidence) != 1 || !errors.As(f.evidence[0], &e) || e.Section != section {
		f.t.Errorf("evidence %v, want one of section %s", f.evidence, section)
	}
	f.evidence = nil
	f.mu.Unlock()
	f.goLive()
}

// common is where the common configuration is in guest memory.
func (f *fixture) common(offset int) uint64 {
	return f.Board.BAR + f.Offset(virtiotest.DeviceFeaturesSel) + uint64(offset)
}

// setVector has events of vector register reg go to a vector, and returns what
// the device makes of it.
func (f *fixture) setVector(reg int, v uint16) uint16 {
	f.Board.Guest.Write(f.common(reg), 2, uint64(v))
	return uint16(f.Board.Guest.Read(f.common(reg), 2))
}

// isr returns where the ISR status is.
func (f *fixture) isr() uint64 { return f.Board.BAR + uint64(f.structure(3).offset) }

// structure is what a capability says of one.
type structure struct {
	at, size, bar, offset, length int
}

// structure returns the first of a type; section 4.1.4.
func (f *fixture) structure(kind uint32) (s structure) {
	f.t.Helper()
	get := func(reg, width int) int { return int(f.Board.Guest.Config(device, reg, width)) }
	for _, c := range f.Board.List(device) {
		if c.ID == pcitest.IDVendor && f.Board.Guest.Config(device, c.At+3, 1) == kind {
			return structure{c.At, get(c.At+2, 1), get(c.At+4, 1), get(c.At+8, 4), get(c.At+12, 4)}
		}
	}
	f.t.Fatalf("no capability of type %d", kind)
	return s
}

func (f *fixture) wantSent(vector int, data ...uint32) {
	f.t.Helper()
	var got []uint32
	for _, m := range f.Board.Vectors[vector].Sent() {
		got = append(got, m.Data)
		if m.Address != 0xfee00000 {
			f.t.Errorf("message %x", m)
		}
	}
	if !slices.Equal(got, data) {
		f.t.Errorf("vector %d sent %d, want %d", vector, got, data)
	}
}

// entry is where an entry of the MSI-X table is.
func (f *fixture) entry(vector int) uint64 {
	return f.Board.BAR + f.Board.Table + uint64(vector*msix.EntrySize)
}

// pending returns the MSI-X pending bits.
func (f *fixture) pending() uint64 {
	at := f.Board.Find(device, pcitest.IDMSIX)
	return f.Board.Guest.Read(f.Board.BAR+uint64(f.Board.Guest.Config(device, at+8, 4)&^7), 8)
}
