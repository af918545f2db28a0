package msix

import (
	"fmt"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns what the guest has made of the table, and what is pending. It
// doesn't change it.
func (t *Table) Save() *statev1.MSIX {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := &statev1.MSIX{Control: uint32(t.control)}
	for i := range t.entries {
		e := &t.entries[i]
		m := e.message()
		s.Table = append(s.Table, &statev1.MSIXEntry{
			Address: m.Address, Data: m.Data, VectorControl: e.registers[regControl], Pending: e.pending.Load(),
		})
	}
	return s
}

// Restore takes what Save gave of another table: vectors that may send are routed,
// and what is pending stays so while it is masked. It fails, with nothing changed,
// if this table can't be like that one. That a message can't be sent, Config.Fail
// hears.
func (t *Table) Restore(s *statev1.MSIX) error {
	if err := t.check(s); err != nil {
		return err
	}
	t.change(func() []entry {
		t.control = uint16(s.GetControl())
		for i, from := range s.GetTable() {
			e := &t.entries[i]
			e.registers = [entryRegisters]uint32{
				regAddressLow:  uint32(from.GetAddress()),
				regAddressHigh: uint32(from.GetAddress() >> 32),
				regData:        from.GetData(),
				regControl:     from.GetVectorControl(),
			}
			e.pending.Store(from.GetPending())
		}
		return t.entries
	})
	return nil
}

// check reports how s is none of this table's states.
func (t *Table) check(s *statev1.MSIX) error {
	size := uint32(len(t.entries) - 1)
	switch {
	case len(s.GetTable()) != len(t.entries):
		return fmt.Errorf("it has %d interrupt vectors, this one %d", len(s.GetTable()), len(t.entries))
	case s.GetControl()&^(controlEnable|controlMaskAll) != size:
		return fmt.Errorf("MSI-X control %#x of %d vectors", s.GetControl(), len(t.entries))
	}
	for i, e := range s.GetTable() {
		if e.GetVectorControl()&^controlMasked != 0 {
			return fmt.Errorf("control %#x of interrupt vector %d", e.GetVectorControl(), i)
		}
	}
	return nil
}
