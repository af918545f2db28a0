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
	ID int
	// XSaveSize is how many bytes its XSAVE area takes, as VM.XSaveSize says.
	XSaveSize int
	// TSCControl reports whether SetTSCKHz works.
	TSCControl bool

	page []byte // the kvm_run mapping
}

// CreateVCPU adds a processor with the given APIC ID to the machine.
func (vm *VM) CreateVCPU(id int) (*VCPU, error) {
	xsaveSize, err := vm.XSaveSize()
	if err != nil {
		return nil, err
	}
	tscControl, err := vm.CheckExtension(CapTSCControl)
	if err != nil {
		return nil, err
	}
	n, err := vm.ioctl(reqCreateVCPU, uintptr(id))
	if err != nil {
		return nil, fmt.Errorf("vCPU %d: %w", id, err)
	}
	v := &VCPU{fd: newFD(n, fmt.Sprintf("vCPU %d", id)), ID: id, XSaveSize: xsaveSize, TSCControl: tscControl > 0}
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
