package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// VCPU is one virtual processor.
type VCPU struct {
	*fd
	// ID is the APIC ID the vCPU was created with.
	ID   int
	page []byte // the kvm_run mapping
}

// CreateVCPU adds a processor with the given APIC ID to the machine.
func (vm *VM) CreateVCPU(id int) (*VCPU, error) {
	n, err := vm.ioctl(reqCreateVCPU, uintptr(id))
	if err != nil {
		return nil, fmt.Errorf("vCPU %d: %w", id, err)
	}
	v := &VCPU{fd: newFD(n, fmt.Sprintf("vCPU %d", id)), ID: id}
	v.page, err = unix.Mmap(n, 0, vm.runSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map kvm_run of vCPU %d: %w", id, err), v.fd.Close())
	}
	return v, nil
}

// Close frees the vCPU. Run must have returned for good.
func (v *VCPU) Close() error {
	err := v.fd.Close()
	if v.page != nil {
		err = errors.Join(err, unix.Munmap(v.page))
		v.page = nil
	}
	return err
}
