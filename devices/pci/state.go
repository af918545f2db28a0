package pci

import (
	"encoding/binary"
	"fmt"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns what the guest has written of the bus: CONFIG_ADDRESS and the
// functions' headers. It doesn't change it, and vCPUs are out of the guest.
func (r *Root) Save() *statev1.PCIRoot {
	s := &statev1.PCIRoot{ConfigAddress: r.ports.address.Load()}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.functions {
		s.Functions = append(s.Functions, f.save())
	}
	return s
}

// Restore takes what Save gave of another bus, before a vCPU has run. Regions are
// mapped where they were there. It fails, with nothing changed, if this bus can't
// be like that one.
func (r *Root) Restore(s *statev1.PCIRoot) error {
	switch {
	case s.GetConfigAddress()&addressReserved != 0:
		return fmt.Errorf("pci: CONFIG_ADDRESS was %#x", s.GetConfigAddress())
	case len(s.GetFunctions()) != len(r.functions):
		return fmt.Errorf("pci: the bus had %d functions, this one has %d", len(s.GetFunctions()), len(r.functions))
	}
	for i, f := range s.GetFunctions() {
		if err := r.functions[i].check(f); err != nil {
			return fmt.Errorf("pci: device %d: %w", i, err)
		}
	}
	r.ports.address.Store(s.GetConfigAddress())
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range s.GetFunctions() {
		r.functions[i].restore(f)
	}
	r.remap()
	return nil
}

func (f *function) save() *statev1.PCIFunction {
	le := binary.LittleEndian
	return &statev1.PCIFunction{
		Command:       uint32(le.Uint16(f.header[regCommand:])),
		Bar0:          le.Uint32(f.header[regBAR0:]),
		InterruptLine: uint32(f.header[regInterruptLine]),
	}
}

// check reports how s has bits that no guest could have set. Where a BAR is was
// the guest's choice.
func (f *function) check(s *statev1.PCIFunction) error {
	le := binary.LittleEndian
	switch {
	case s.GetCommand()&^uint32(le.Uint16(f.writable[regCommand:])) != 0:
		return fmt.Errorf("the command register was %#x", s.GetCommand())
	case s.GetBar0()&^le.Uint32(f.writable[regBAR0:]) != 0:
		return fmt.Errorf("BAR 0 was %#x", s.GetBar0())
	case s.GetInterruptLine()&^uint32(f.writable[regInterruptLine]) != 0:
		return fmt.Errorf("the interrupt line was %#x", s.GetInterruptLine())
	}
	return nil
}

func (f *function) restore(s *statev1.PCIFunction) {
	le := binary.LittleEndian
	le.PutUint16(f.header[regCommand:], uint16(s.GetCommand()))
	le.PutUint32(f.header[regBAR0:], s.GetBar0())
	f.header[regInterruptLine] = uint8(s.GetInterruptLine())
}
