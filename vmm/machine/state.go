package machine

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save has every device rest and calls take with all that the machine is beside
// its memory, which doesn't change meanwhile. Then the devices go on. The machine
// must be paused, stay so, and not be closed meanwhile. sys is an open KVM.
func (m *Machine) Save(sys *kvm.System, take func(*statev1.Machine) error) (err error) {
	for _, d := range m.devices {
		d.transport.Suspend()
	}
	defer func() {
		for _, d := range m.devices {
			if e := d.transport.Resume(); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", d.name, e))
			}
		}
	}()
	s, err := m.state(sys)
	if err != nil {
		return err
	}
	return take(s)
}

// state reads what is at rest.
func (m *Machine) state(sys *kvm.System) (*statev1.Machine, error) {
	s := &statev1.Machine{Serial: m.serial.Save(), Acpi: m.events.generation != nil}
	for _, d := range m.devices {
		state := d.transport.Save()
		state.Name = d.name
		s.Devices = append(s.Devices, state)
	}
	s.PciRoot = m.saveBus()
	msrs, err := sys.MSRIndexList()
	if err != nil {
		return nil, err
	}
	// After the devices, whose last interrupts are in there or, a moment later, at
	// the processors.
	if s.Chips, err = vcpu.SaveChips(m.vm); err != nil {
		return nil, err
	}
	for _, v := range m.vcpus {
		cpu, err := vcpu.Save(v, msrs)
		if err != nil {
			return nil, err
		}
		s.Cpus = append(s.Cpus, cpu)
	}
	return s, nil
}

// restore has the machine go on where c.State says, in place of a boot.
func (m *Machine) restore(c Config, pio, mmio *bus.Bus) error {
	if err := m.createCPUs(c, pio, mmio); err != nil {
		return err
	}
	c.Timeline.Mark("vCPUs")
	if err := vcpu.RestoreChips(m.vm, c.State.GetChips()); err != nil {
		return err
	}
	if err := m.serial.Restore(c.State.GetSerial()); err != nil {
		return err
	}
	if err := m.restoreDevices(c.State); err != nil {
		return err
	}
	c.Timeline.Mark("state")
	if !c.State.GetAcpi() {
		return nil
	}
	if err := m.createEvents(); err != nil {
		return err
	}
	return m.SetGenerationID(c.generationID())
}

// restoreDevices has the devices begin where others were. Those may interrupt the
// guest at once.
func (m *Machine) restoreDevices(s *statev1.Machine) error {
	states := s.GetDevices()
	if len(states) != len(m.devices) {
		return fmt.Errorf("the saved machine had %d devices, this one has %d: give it as many, in the same order",
			len(states), len(m.devices))
	}
	for i, d := range m.devices {
		if states[i].GetName() != d.name {
			return fmt.Errorf("device %d of the saved machine was %s, of this one it is %s: give it the same, in the same order",
				i, states[i].GetName(), d.name)
		}
		if err := d.transport.Restore(states[i]); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	if err := m.restoreBus(s.GetPciRoot()); err != nil {
		return err
	}
	for _, d := range m.devices {
		if err := d.transport.Resume(); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}
