package machine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// routes is where the machine's GSIs lead: to the pins of the interrupt
// controllers, and from firstMessageGSI on to messages. KVM only takes the
// whole table at once.
type routes struct {
	vm *kvm.VM

	mu    sync.Mutex // the rest; no other lock is taken under it
	table []kvm.Route
}

// newRoutes returns a table of the pins, as KVM has it by itself.
func newRoutes(vm *kvm.VM) *routes { return &routes{vm: vm, table: pinRoutes()} }

// pinRoutes has each GSI lead to the IOAPIC's pin of that number, and those of
// a PC's PICs to these as well.
func pinRoutes() (table []kvm.Route) {
	const picPins = 8
	for gsi := range uint32(lastGSI + 1) {
		table = append(table, kvm.Route{GSI: gsi, Chip: kvm.ChipIOAPIC, Pin: gsi})
		switch gsi / picPins {
		case 0:
			table = append(table, kvm.Route{GSI: gsi, Chip: kvm.ChipPICMaster, Pin: gsi})
		case 1:
			table = append(table, kvm.Route{GSI: gsi, Chip: kvm.ChipPICSlave, Pin: gsi % picPins})
		}
	}
	return table
}

// set has a GSI of its own lead to a message. If it fails, it leads where it
// did.
func (r *routes) set(gsi uint32, m msix.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	route := kvm.Route{GSI: gsi, MSI: &kvm.MSI{
		AddressLo: uint32(m.Address), AddressHi: uint32(m.Address >> 32), Data: m.Data,
	}}
	table := slices.Clone(r.table)
	if i := slices.IndexFunc(table, func(x kvm.Route) bool { return x.GSI == gsi }); i >= 0 {
		table[i] = route
	} else {
		table = append(table, route)
	}
	if err := r.vm.SetGSIRouting(table); err != nil {
		return fmt.Errorf("route a message of a device: %w", err)
	}
	r.table = table
	return nil
}

// vector sends messages: a msix.Vector.
type vector struct {
	routes *routes
	gsi    uint32
	event  *eventfd.EventFD // its irqfd is assigned to gsi

	// routed is false where the last Route failed: the irqfd would send what
	// went before. Whoever calls both methods keeps them apart.
	routed bool
}

// Route implements msix.Vector.
func (v *vector) Route(m msix.Message) error {
	err := v.routes.set(v.gsi, m)
	v.routed = err == nil
	return err
}

// Signal implements msix.Vector.
func (v *vector) Signal() {
	if v.routed {
		v.event.Signal() // fails only once closed
	}
}
