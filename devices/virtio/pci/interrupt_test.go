package pci_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

func TestInterrupts(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.dev.active.Queues[0].Interrupt()
	f.dev.active.Queues[1].Interrupt()
	f.dev.active.Queues[1].Interrupt()
	f.wantSent(0)
	f.wantSent(1, 1)
	f.wantSent(2, 2, 2)
	if isr := f.Board.Guest.Read(f.isr(), 1); isr != 0 {
		t.Errorf("ISR status %d: queues have their vectors", isr)
	}
	f.dev.active.ConfigChanged()
	f.wantSent(0, 0)
	if isr := f.Board.Guest.Read(f.isr(), 1); isr != 2 {
		t.Errorf("ISR status %d, want the configuration's bit, MSI-X or not", isr)
	}
	if isr := f.Board.Guest.Read(f.isr(), 1); isr != 0 {
		t.Errorf("ISR status %d after it was read", isr)
	}
}

// TestWithoutMSIX leaves a driver with the ISR status alone.
func TestWithoutMSIX(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	at := f.Board.Find(device, pcitest.IDMSIX)
	f.Board.SetConfig(device, at+pcitest.MSIXControl, 2, 0)
	interrupting := func() bool { return f.Board.Guest.Config(device, pcitest.Status, 2)&(1<<3) != 0 }
	if interrupting() {
		t.Error("the Interrupt Status bit is set before there is a reason")
	}
	f.dev.active.Queues[1].Interrupt()
	f.dev.active.ConfigChanged()
	for i := range f.Board.Vectors {
		f.wantSent(i)
	}
	if !interrupting() {
		t.Error("the Interrupt Status bit isn't set")
	}
	if isr := f.Board.Guest.Read(f.isr(), 1); isr != 3 || interrupting() {
		t.Errorf("ISR status %d, want both causes; interrupting after it was read: %v", isr, interrupting())
	}
}

// TestVectors maps events as section 4.1.5.1.2 has it: what can't be reads back
// as NO_VECTOR.
func TestVectors(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Set(virtiotest.QueueSel, 1)
	for v, want := range map[uint16]uint16{0: 0, 2: 2, 3: 0xffff, 0x7ff: 0xffff, 0x8000: 0xffff, 0xfffe: 0xffff, 0xffff: 0xffff} {
		for _, reg := range []int{virtiotest.RegConfigVector, virtiotest.RegQueueVector} {
			if got := f.setVector(reg, v); got != want {
				t.Errorf("vector %#x at %d reads back as %#x, want %#x", v, reg, got, want)
			}
		}
	}
	f.setVector(virtiotest.RegConfigVector, 0xffff)
	f.setVector(virtiotest.RegQueueVector, 0xffff)
	f.dev.active.Queues[1].Interrupt()
	f.dev.active.ConfigChanged()
	for i := range f.Board.Vectors {
		f.wantSent(i)
	}
	f.setVector(virtiotest.RegConfigVector, 2) // all by one
	f.setVector(virtiotest.RegQueueVector, 2)
	f.dev.active.Queues[1].Interrupt()
	f.dev.active.ConfigChanged()
	f.wantSent(2, 2, 2)
	f.Set(virtiotest.QueueSel, 7) // no such queue
	if got := f.setVector(virtiotest.RegQueueVector, 1); got != 0xffff {
		t.Errorf("a vector of a queue that isn't there reads back as %#x", got)
	}
	f.wantFine()
}

// TestMaskedVector: its event is pending, and sent on unmask; a reset of the
// device forgets it.
func TestMaskedVector(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Board.Guest.Write(f.entry(1)+12, 4, 1)
	f.dev.active.Queues[0].Interrupt()
	f.wantSent(1)
	if p := f.pending(); p != 1<<1 {
		t.Errorf("pending %b", p)
	}
	f.Board.Guest.Write(f.entry(1)+8, 8, 0x77) // another message, and unmasked
	f.wantSent(1, 0x77)
	if p := f.pending(); p != 0 {
		t.Errorf("pending %b after it was sent", p)
	}
	f.Board.Guest.Write(f.entry(1)+12, 4, 1)
	f.dev.active.Queues[0].Interrupt()
	f.Set(virtiotest.Status, 0)
	f.Board.Guest.Write(f.entry(1)+12, 4, 0)
	f.wantSent(1, 0x77)
}

// TestFailureInterrupts: the driver hears of DEVICE_NEEDS_RESET by the
// configuration's vector; section 2.1.2.
func TestFailureInterrupts(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	f.Board.Guest.Write(f.common(20), 2, 0)
	f.wantSent(0, 0)
	f.wantNeedsReset("4.1.3.1")
}
