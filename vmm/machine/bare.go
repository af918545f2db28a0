package machine

import (
	"errors"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Bare is what a machine is before anybody has said what it has: it can be made while
// that is still being found out.
type Bare struct {
	vm        *kvm.VM
	supported []kvm.CPUIDEntry // what KVM can offer its processors
}

// NewBare makes one, for NewFrom to take over, or for the caller to close. The caller
// keeps sys, which isn't needed any more.
func NewBare(sys *kvm.System) (*Bare, error) {
	vm, err := sys.CreateVM()
	if err != nil {
		return nil, err
	}
	supported, err := sys.SupportedCPUID()
	if err != nil {
		return nil, errors.Join(err, vm.Close())
	}
	return &Bare{vm, supported}, nil
}

// Close gives back one that became no machine. It may be called twice.
func (b *Bare) Close() error { return b.vm.Close() }
