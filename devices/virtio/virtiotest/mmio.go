package virtiotest

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/mmio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

func plugMMIO(t testing.TB, dev virtio.Device, mem *memory.Memory, report func(error)) *Port {
	t.Helper()
	m, err := mmio.New(dev, mem, report)
	if err != nil {
		t.Fatal(err)
	}
	p := &Port{
		Common: m.Common, Transport: MMIO, Config: 0x100, Size: mmio.Size,
		transport: m, registers: m, where: make(map[Register]place),
		doorbell:  func(uint32) place { return place{mmio.NotifyOffset, 4} },
		interrupt: func(int) *eventfd.EventFD { return m.IRQ() },
		close:     m.Close,
	}
	for r, offset := range map[Register]uint64{ // virtio 1.2, table 4.1
		DeviceFeaturesSel: 0x014, DeviceFeatures: 0x010, DriverFeaturesSel: 0x024, DriverFeatures: 0x020,
		Status: 0x070, ConfigGeneration: 0x0fc, QueueSel: 0x030, QueueSize: 0x038, QueueReady: 0x044,
		QueueDescLow: 0x080, QueueDescHigh: 0x084, QueueDriverLow: 0x090, QueueDriverHigh: 0x094,
		QueueDeviceLow: 0x0a0, QueueDeviceHigh: 0x0a4,
	} {
		p.where[r] = place{offset, 4}
	}
	return p
}
