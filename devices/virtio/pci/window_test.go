package pci_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// aim has the window lead to n bytes at an offset of a BAR; section 4.1.4.9.
func (f *fixture) aim(bar, offset, n uint32) (data int) {
	w := f.structure(5)
	f.Board.SetConfig(device, w.at+4, 1, bar)
	f.Board.SetConfig(device, w.at+8, 4, offset)
	f.Board.SetConfig(device, w.at+12, 4, n)
	return w.at + 16
}

// TestWindow drives the device by configuration space alone.
func TestWindow(t *testing.T) {
	f := newFixture(t)
	f.dev.config = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	common := uint32(f.structure(1).offset)
	if got := f.Board.Guest.Config(device, f.aim(0, common+18, 2), 2); got != 2 {
		t.Errorf("%d queues", got)
	}
	status := f.aim(0, common+20, 1)
	f.Board.SetConfig(device, status, 1, 1)
	f.Board.SetConfig(device, status, 1, 3)
	if got := f.Get(virtiotest.Status); got != 3 {
		t.Errorf("status %d", got)
	}
	if got := f.Board.Guest.Config(device, status, 1); got != 3 {
		t.Errorf("status %d by the window", got)
	}
	f.goLive()
	if got := f.Board.Guest.Config(device, f.aim(0, uint32(f.Config)+4, 4), 4); got != 0x08070605 {
		t.Errorf("configuration %#x", got)
	}
	f.Board.SetConfig(device, f.aim(0, uint32(f.structure(2).offset)+4, 2), 2, 1)
	if n, err := f.dev.active.Queues[1].Kick.Wait(); n != 1 || err != nil {
		t.Errorf("kick: %d, %v", n, err)
	}
	f.dev.active.ConfigChanged()
	isr := f.aim(0, uint32(f.structure(3).offset), 1)
	if first, second := f.Board.Guest.Config(device, isr, 1), f.Board.Guest.Config(device, isr, 1); first != 2 || second != 0 {
		t.Errorf("ISR status %d, then %d", first, second)
	}
	f.wantFine()
}

// TestWindowMisuse aims where section 4.1.4.9.2 forbids it: nothing happens
// until the data is accessed, and then the device asks for a reset.
func TestWindowMisuse(t *testing.T) {
	for name, aim := range map[string][3]uint32{
		"another BAR":                   {1, 0, 4},
		"BAR 255":                       {255, 0, 4},
		"3 bytes":                       {0, 0, 3},
		"8 bytes":                       {0, 0, 8},
		"2^32-1 bytes":                  {0, 0, 0xffffffff},
		"unaligned":                     {0, 2, 4},
		"the MSI-X table":               {0, 0x4000, 4},
		"pending bits":                  {0, 0x5000, 4},
		"behind the common structure":   {0, 56, 4},
		"behind the ISR status":         {0, 0x1001, 1},
		"over the ISR status":           {0, 0x1000, 4},
		"a doorbell of no queue":        {0, 0x3008, 2},
		"behind the BAR":                {0, 0x8000, 4},
		"an offset that nearly wraps":   {0, 0xfffffffc, 4},
		"an offset that wraps with 2^2": {0, 0xfffffffe, 2},
	} {
		t.Run(name, func(t *testing.T) {
			for _, write := range []bool{false, true} {
				f := newFixture(t)
				f.goLive()
				data := f.aim(aim[0], aim[1], aim[2])
				f.wantFine()
				if write {
					f.Board.SetConfig(device, data, 4, 0xffffffff)
				} else {
					f.Board.Guest.Config(device, data, 4)
				}
				f.wantNeedsReset("4.1.4.9.2")
			}
		})
	}
}

// TestDump reads all of configuration space, as lspci does: the device doesn't
// mind, as long as nobody has aimed the window.
func TestDump(t *testing.T) {
	f := newFixture(t)
	f.goLive()
	for _, width := range []int{1, 2, 4} {
		for reg := 0; reg < 0x100; reg += width {
			f.Board.Guest.Config(device, reg, width)
		}
	}
	f.wantFine()
}
