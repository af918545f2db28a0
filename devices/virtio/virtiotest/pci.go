package virtiotest

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	virtiopci "github.com/bulkhead-vm/bulkhead/devices/virtio/pci"
)

// The bus that a Board has.
const (
	WindowStart = 0xe000_0000
	WindowSize  = 0x10_0000
	slot        = 1
)

// Registers that only PCI has, by offset in the common configuration; virtio
// 1.2, section 4.1.4.3.
const (
	RegConfigVector = 16
	RegQueueVector  = 26
)

// Types of structure; virtio 1.2, section 4.1.4.
const (
	typeCommon, typeNotify, typeDevice = 1, 2, 4
)

func plugPCI(t testing.TB, dev virtio.Device, mem *memory.Memory, report func(error)) *Port {
	t.Helper()
	platform := newPlatform(t)
	tr, err := virtiopci.New(dev, mem, platform, report)
	if err != nil {
		t.Fatal(err)
	}
	function := tr.Function()
	root, err := pci.NewRoot(pci.Window{Start: WindowStart, Size: WindowSize}, function)
	if err != nil {
		t.Fatal(err)
	}
	b := &Board{Guest: pcitest.NewGuest(t, root), Platform: platform, Root: root, BAR: WindowStart}
	p := &Port{
		Common: tr.Common, Transport: PCI, Size: uint64(function.Region.Size()), Board: b,
		transport: tr, registers: function.Region, where: make(map[Register]place),
		interrupt: func(queue int) *eventfd.EventFD { return platform.Events[1+queue] },
		close:     tr.Close,
	}
	p.findStructures()
	return p
}

// enable has the device's memory decoded and its messages sent, each vector
// with its number as data.
func (b *Board) enable() {
	b.SetConfig(slot, pcitest.Command, 2, pcitest.CommandMemory|pcitest.CommandMaster)
	b.SetConfig(slot, b.Find(slot, pcitest.IDMSIX)+pcitest.MSIXControl, 2, pcitest.MSIXEnable)
	for i := range b.Vectors {
		entry := b.BAR + b.Table + 16*uint64(i)
		b.Write(entry, 8, 0xfee00000)
		b.Write(entry+8, 8, uint64(i)) // and unmasked
	}
}

// findStructures looks where a device's registers are; section 4.1.4.
func (p *Port) findStructures() {
	msix := p.Board.Find(slot, pcitest.IDMSIX)
	p.Board.Table = uint64(p.Board.Config(slot, msix+pcitest.MSIXTable, 4))
	for _, c := range p.Board.List(slot) {
		if c.ID != pcitest.IDVendor {
			continue
		}
		offset := uint64(p.Board.Guest.Config(slot, c.At+8, 4))
		switch p.Board.Guest.Config(slot, c.At+3, 1) {
		case typeCommon:
			p.placeRegisters(offset)
		case typeDevice:
			p.Config = offset
		case typeNotify:
			multiplier := uint64(p.Board.Guest.Config(slot, c.At+16, 4))
			p.doorbell = func(queue uint32) place { return place{offset + uint64(queue)*multiplier, 2} }
		}
	}
}

func (p *Port) placeRegisters(common uint64) {
	for r, at := range map[Register]place{ // section 4.1.4.3
		DeviceFeaturesSel: {0, 4}, DeviceFeatures: {4, 4}, DriverFeaturesSel: {8, 4}, DriverFeatures: {12, 4},
		Status: {20, 1}, ConfigGeneration: {21, 1}, QueueSel: {22, 2}, QueueSize: {24, 2}, QueueReady: {28, 2},
		QueueDescLow: {32, 4}, QueueDescHigh: {36, 4}, QueueDriverLow: {40, 4}, QueueDriverHigh: {44, 4},
		QueueDeviceLow: {48, 4}, QueueDeviceHigh: {52, 4},
	} {
		p.where[r] = place{common + at.offset, at.width}
	}
}

// mapVectors gives the configuration vector 0 and each queue the next.
func (p *Port) mapVectors() {
	common := p.Offset(DeviceFeaturesSel)
	put := func(offset uint64, v int) {
		p.Write(common+offset, binary.LittleEndian.AppendUint16(nil, uint16(v)))
	}
	put(RegConfigVector, 0)
	for i := range p.QueueCount() {
		p.Set(QueueSel, uint32(i))
		put(RegQueueVector, 1+i)
	}
}
