package pci_test

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

// TestMisuse breaks the rules that only this transport has; what all have is
// in package hostile.
func TestMisuse(t *testing.T) {
	write := func(offset, width int, v uint64) func(*fixture) {
		return func(f *fixture) { f.Board.Guest.Write(f.common(offset), width, v) }
	}
	for name, x := range map[string]struct {
		section string
		do      func(*fixture)
	}{
		"byte of a dword":          {"4.1.3.1", write(0, 1, 0)},
		"two fields at once":       {"4.1.3.1", write(16, 4, 0)},
		"status and generation":    {"4.1.3.1", write(20, 2, 1)},
		"8 bytes":                  {"4.1.3.1", write(32, 8, 0)},
		"over the structure's end": {"4.1.3.1", write(54, 4, 0)},
		"the device's features":    {"4.1.4.3.2", write(4, 4, 0)},
		"the number of queues":     {"4.1.4.3.2", write(18, 2, 0)},
		"the generation":           {"4.1.4.3.2", write(21, 1, 0)},
		"where the doorbell is":    {"4.1.4.3.2", write(30, 2, 0)},
		"a queue disabled":         {"4.1.4.3.2", write(28, 2, 0)},
		"a queue enabled by 2":     {"4.1.4.3.2", write(28, 2, 2)},
		"a queue that isn't, sized": {"4.1.4.3.2", func(f *fixture) {
			f.Negotiate(^uint64(0))
			f.Set(virtiotest.QueueSel, 2)
			f.Set(virtiotest.QueueSize, 1)
		}},
		"a queue larger than it may": {"4.1.4.3.2", func(f *fixture) {
			f.Negotiate(^uint64(0))
			f.Set(virtiotest.QueueSel, 0)
			f.Set(virtiotest.QueueSize, 128)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			x.do(f)
			f.wantNeedsReset(x.section)
		})
	}
}

// TestOdd does what is of no use and harms nobody.
func TestOdd(t *testing.T) {
	for name, do := range map[string]func(f *fixture){
		"read in a wrong width": func(f *fixture) {
			if got := f.Board.Guest.Read(f.common(16), 4); got != 0 {
				f.t.Errorf("two fields at once read as %#x", got)
			}
		},
		"behind the common structure": func(f *fixture) { f.Board.Guest.Write(f.common(56), 4, 1) },
		"ISR status written":          func(f *fixture) { f.Board.Guest.Write(f.isr(), 1, 0xff) },
		"over two structures":         func(f *fixture) { f.Board.Guest.Write(f.isr()-2, 4, 0xffffffff) },
		"between doorbells":           func(f *fixture) { f.Board.Guest.Write(f.Board.BAR+uint64(f.structure(2).offset)+2, 2, 0) },
		"bus master off":              func(f *fixture) { f.Board.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.goLive()
			do(f)
			f.wantFine()
		})
	}
}

// FuzzRegisters throws accesses at the BAR and at configuration space. A reset
// always brings the device back, with its doorbells where the BAR is.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0, 20, 0, 1, 1, 0, 0, 0, 0, 20, 0, 1, 3, 0, 0, 0, 0, 20, 0, 1, 11, 0, 0, 0, 0, 20, 0, 1, 15, 0, 0, 0})
	f.Add([]byte{0, 22, 0, 2, 1, 0, 0, 0, 0, 24, 0, 2, 8, 0, 0, 0, 0, 26, 0, 2, 9, 0, 0, 0, 0, 28, 0, 2, 1, 0, 0, 0})
	f.Add([]byte{0, 0, 0x40, 4, 0, 0, 0xe0, 0xfe, 0, 12, 0x40, 4, 1, 0, 0, 0, 0, 0, 0x50, 8, 0, 0, 0, 0})
	f.Add([]byte{1, 0x10, 0, 4, 0, 0, 8, 0xe0, 1, 4, 0, 2, 6, 0, 0, 0, 1, 0x42, 0, 2, 0, 0x80, 0, 0})
	f.Add([]byte{1, 0xa4, 0, 4, 20, 0, 0, 0, 1, 0xa8, 0, 4, 1, 0, 0, 0, 1, 0xac, 0, 1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := newFixture(t)
		x.goLive()
		for ; len(ops) >= 8; ops = ops[8:] {
			offset, width := int(binary.LittleEndian.Uint16(ops[1:])), 1+int(ops[3])%8
			v := uint64(binary.LittleEndian.Uint32(ops[4:]))
			if ops[0]&1 == 0 {
				x.Board.Guest.Write(x.Board.BAR+uint64(offset)&0x7fff, width, v|v<<32)
				x.Board.Guest.Read(x.Board.BAR+uint64(offset)&0x7fff, width)
				continue
			}
			reg := offset & 0xff
			width = min(width, 4-reg&3)
			x.Board.SetConfig(device, reg, width, uint32(v))
			x.Board.Guest.Config(device, reg, width)
		}
		x.Board.SetConfig(device, pcitest.BAR0, 4, uint32(x.Board.BAR))
		x.Board.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory)
		if n := len(x.Board.Doorbells()); n != 2 {
			t.Errorf("%d doorbells", n)
		}
		x.Set(virtiotest.Status, 0)
		x.evidence = nil
		x.goLive()
	})
}
