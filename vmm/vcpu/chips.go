package vcpu

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// SaveChips reads what KVM emulates beside processors: interrupt controllers, the
// interval timer, kvm-clock. Every vCPU must be paused, and devices rest, so that
// no interrupt is on its way.
func SaveChips(vm *kvm.VM) (*statev1.Chips, error) {
	s := new(statev1.Chips)
	for id, dst := range chipFields(s) {
		c, err := vm.IRQChip(uint32(id))
		if err != nil {
			return nil, fmt.Errorf("save interrupt controller %d: %w", id, err)
		}
		*dst = append([]byte(nil), c.Chip[:]...)
	}
	if err := from(&s.Pit, vm.PIT); err != nil {
		return nil, fmt.Errorf("save the interval timer: %w", err)
	}
	clock, err := vm.Clock()
	if err != nil {
		return nil, fmt.Errorf("save kvm-clock: %w", err)
	}
	s.ClockNs = clock.Clock
	return s, nil
}

// RestoreChips makes a new machine's chips, an irqchip and a PIT, what another's
// were. Call it after every Restore, for the interrupts that wait in the IOAPIC go
// to the local APICs, and shortly before the vCPUs run: kvm-clock goes on from
// where it was at once. The timer begins its period anew.
//
// It fails with *StateError, before anything changed, if s is no such state, or
// with what KVM says.
func RestoreChips(vm *kvm.VM, s *statev1.Chips) error {
	chips, pit, err := decodeChips(s)
	if err != nil {
		return err
	}
	for _, c := range chips {
		if err := vm.SetIRQChip(c); err != nil {
			return fmt.Errorf("restore interrupt controller %d: %w", c.ID, err)
		}
	}
	if err := vm.SetPIT(pit); err != nil {
		return fmt.Errorf("restore the interval timer: %w", err)
	}
	// Without flags: with KVM_CLOCK_REALTIME the guest would see the time that it
	// didn't run pass at once (KVM API section 4.30).
	if err := vm.SetClock(kvm.Clock{Clock: s.GetClockNs()}); err != nil {
		return fmt.Errorf("restore kvm-clock: %w", err)
	}
	return nil
}

// chipFields returns the interrupt controllers' places by their KVM_IRQCHIP_*.
func chipFields(s *statev1.Chips) [3]*[]byte {
	return [...]*[]byte{
		kvm.ChipPICMaster: &s.PicMaster,
		kvm.ChipPICSlave:  &s.PicSlave,
		kvm.ChipIOAPIC:    &s.Ioapic,
	}
}

// decodeChips fails with *StateError.
func decodeChips(s *statev1.Chips) (chips [3]kvm.IRQChip, pit kvm.PIT, err error) {
	if s == nil {
		s = new(statev1.Chips)
	}
	for id, src := range chipFields(s) {
		c := &chips[id]
		c.ID = uint32(id)
		if len(*src) != len(c.Chip) {
			part := [...]string{"pic_master", "pic_slave", "ioapic"}[id]
			return chips, pit, damaged("chips", part, &kvm.SizeError{Got: len(*src), Want: len(c.Chip)})
		}
		copy(c.Chip[:], *src)
	}
	if err := kvm.FromBytes(s.GetPit(), &pit); err != nil {
		return chips, pit, damaged("chips", "pit", err)
	}
	return chips, pit, nil
}
