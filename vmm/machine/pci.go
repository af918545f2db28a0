package machine

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	virtiopci "github.com/bulkhead-vm/bulkhead/devices/virtio/pci"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// createPCI plugs every virtio device into a bus, in order from device 1 on.
func (m *Machine) createPCI(c Config) (ranges, error) {
	board := &board{machine: m, routes: newRoutes(m.vm), nextGSI: firstMessageGSI}
	var functions []pci.Config
	for _, d := range c.Devices {
		t, err := virtiopci.New(d.Device, m.mem, board, func(err error) { c.Report(d.Name, err) })
		if err != nil {
			return ranges{}, fmt.Errorf("%s: %w", d.Name, err)
		}
		m.plug(plugged{d.Name, t})
		functions = append(functions, t.Function())
	}
	root, err := pci.NewRoot(PCIWindow(), functions...)
	if err != nil {
		return ranges{}, err
	}
	m.bus = root
	return ranges{ports: []bus.Range{root.Ports()}, memory: []bus.Range{root.Memory()}}, nil
}

// saveBus returns what the guest has written of the PCI bus, nil if there is none.
func (m *Machine) saveBus() *statev1.PCIRoot {
	if m.bus == nil {
		return nil
	}
	return m.bus.Save()
}

// restoreBus takes what saveBus gave: it puts devices where they were, and their
// doorbells. It fails with *virtio.StateError.
func (m *Machine) restoreBus(s *statev1.PCIRoot) error {
	if m.bus == nil {
		return nil // the devices say so if theirs were on one
	}
	if err := m.bus.Restore(s); err != nil {
		return &virtio.StateError{What: err.Error()}
	}
	return nil
}

// board is what a machine gives devices behind PCI.
type board struct {
	machine *Machine // NewVector is only called while it is assembled
	routes  *routes
	nextGSI uint32
}

// NewVector implements the transport's Platform.
func (b *board) NewVector() (msix.Vector, error) {
	gsi := b.nextGSI
	event, err := b.machine.interrupt(gsi)
	if err != nil {
		return nil, err
	}
	b.nextGSI++
	return &vector{routes: b.routes, gsi: gsi, event: event}, nil
}

// AttachDoorbell implements the transport's Platform.
func (b *board) AttachDoorbell(gpa uint64, kick *eventfd.EventFD) error {
	return b.machine.vm.AssignIOEventFD(doorbell(gpa, kick))
}

// DetachDoorbell implements the transport's Platform.
func (b *board) DetachDoorbell(gpa uint64, kick *eventfd.EventFD) error {
	return b.machine.vm.DeassignIOEventFD(doorbell(gpa, kick))
}

func doorbell(gpa uint64, kick *eventfd.EventFD) kvm.IOEventFD {
	return kvm.IOEventFD{FD: kick.FD(), Address: gpa}
}
