package machine

import (
	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/mmio"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// ranges are a guest's ways to devices.
type ranges struct{ ports, memory []bus.Range }

// createDevices gives every virtio device its registers, its interrupts and,
// for each queue, a doorbell that rings without an exit to user space.
func (m *Machine) createDevices(c Config) (ranges, error) {
	if c.Transport == PCI {
		return m.createPCI(c)
	}
	return m.createMMIO(c)
}

func (m *Machine) createMMIO(c Config) (r ranges, err error) {
	for i, d := range c.Devices {
		t, err := mmio.New(d.Device, m.mem, func(err error) { c.Report(d.Name, err) })
		if err != nil {
			return ranges{}, err
		}
		m.plug(plugged{d.Name, t})
		gpa, gsi := slot(i)
		if err := m.connect(t, gpa, gsi); err != nil {
			return ranges{}, err
		}
		r.memory = append(r.memory, bus.Range{Start: gpa, Size: mmio.Size, Name: d.Name, Handler: t})
	}
	return r, nil
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
