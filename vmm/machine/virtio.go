package machine

import (
	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/mmio"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// createDevices gives every virtio device its registers, its interrupt line
// and, for each queue, a doorbell that rings without an exit to user space.
func (m *Machine) createDevices(c Config) (*bus.Bus, error) {
	var ranges []bus.Range
	for i, d := range c.Devices {
		t, err := mmio.New(d.Device, m.mem, func(err error) { c.Report(d.Name, err) })
		if err != nil {
			return nil, err
		}
		m.close = append(m.close, t.Close)
		gpa, gsi := slot(i)
		if err := m.connect(t, gpa, gsi); err != nil {
			return nil, err
		}
		ranges = append(ranges, bus.Range{Start: gpa, Size: mmio.Size, Name: d.Name, Handler: t})
	}
	return bus.New(ranges...)
}

func (m *Machine) connect(t *mmio.Transport, gpa uint64, gsi uint32) error {
	if err := m.vm.AssignIRQFD(t.IRQ().FD(), gsi); err != nil {
		return err
	}
	for queue, kick := range t.Kicks() {
		number := uint64(queue)
		err := m.vm.AssignIOEventFD(kvm.IOEventFD{
			FD: kick.FD(), Address: gpa + mmio.NotifyOffset, Length: 4, Match: &number,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
