package vcpu

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// controller is an interrupt controller and where its state is kept.
type controller struct {
	id    uint32
	state *[]byte
}

func controllers(s *statev1.Chips) []controller {
	return []controller{
		{kvm.ChipPICMaster, &s.PicMaster}, {kvm.ChipPICSlave, &s.PicSlave}, {kvm.ChipIOAPIC, &s.Ioapic},
	}
}

// SaveChips returns the state of what KVM emulates beside processors, which are at
// rest.
func SaveChips(vm *kvm.VM) (*statev1.Chips, error) {
	s := &statev1.Chips{}
	for _, c := range controllers(s) {
		chip, err := vm.IRQChip(c.id)
		if err != nil {
			return nil, fmt.Errorf("save interrupt controllers: %w", err)
		}
		*c.state = chip.Chip[:]
	}
	if err := save(&s.Pit, into(vm.PIT)); err != nil {
		return nil, fmt.Errorf("save the interval timer: %w", err)
	}
	clock, err := vm.Clock()
	if err != nil {
		return nil, fmt.Errorf("save kvm-clock: %w", err)
	}
	s.ClockNs = clock.Clock
	return s, nil
}

// RestoreChips takes what SaveChips gave, in a machine whose vCPUs are there and
// haven't run. kvm-clock goes on from where it was. It fails with *StateError if s
// isn't whole.
func RestoreChips(vm *kvm.VM, s *statev1.Chips) error {
	if s == nil {
		return &StateError{"it has no interrupt controllers"}
	}
	for _, c := range controllers(s) {
		chip := kvm.IRQChip{ID: c.id}
		if n := copy(chip.Chip[:], *c.state); n < len(chip.Chip) || n < len(*c.state) {
			return &StateError{fmt.Sprintf("interrupt controller %d: %d bytes, want %d", c.id, len(*c.state), len(chip.Chip))}
		}
		if err := vm.SetIRQChip(chip); err != nil {
			return fmt.Errorf("restore interrupt controllers: %w", err)
		}
	}
	var pit kvm.PIT
	if err := kvm.FromBytes(s.GetPit(), &pit); err != nil {
		return &StateError{fmt.Sprintf("interval timer: %v", err)}
	}
	if err := vm.SetPIT(pit); err != nil {
		return fmt.Errorf("restore the interval timer: %w", err)
	}
	if err := vm.SetClock(kvm.Clock{Clock: s.GetClockNs()}); err != nil {
		return fmt.Errorf("restore kvm-clock: %w", err)
	}
	return nil
}
