package kvm

import "fmt"

// VM is one machine: memory slots, interrupt controllers, vCPUs. Its
// descriptor keeps the machine alive until it and every vCPU are closed.
type VM struct {
	*fd
	runSize int
}

// CheckExtension is System.CheckExtension as this machine sees it.
func (vm *VM) CheckExtension(c Cap) (int, error) {
	return vm.ioctl(reqCheckExtension, uintptr(c))
}

// EnableCap turns on an optional behaviour of the machine.
func (vm *VM) EnableCap(c Cap, args ...uint64) error {
	arg := enableCap{cap: uint32(c)}
	if len(args) > len(arg.args) {
		return fmt.Errorf("enable capability %d: %d arguments, at most %d", c, len(args), len(arg.args))
	}
	copy(arg.args[:], args)
	if _, err := ioctlPtr(vm.fd, reqEnableCap, &arg); err != nil {
		return fmt.Errorf("capability %d: %w", c, err)
	}
	return nil
}

// SetTSSAddr gives KVM three pages of guest-physical space, outside any memory
// slot, that Intel hosts need for real mode. Call it before the first vCPU.
func (vm *VM) SetTSSAddr(gpa uint32) error {
	_, err := vm.ioctl(reqSetTSSAddr, uintptr(gpa))
	return err
}

// SetIdentityMapAddr gives KVM one more such page for an identity map. Call it
// before the first vCPU.
func (vm *VM) SetIdentityMapAddr(gpa uint64) error {
	_, err := ioctlPtr(vm.fd, reqSetIdentityMapAddr, &gpa)
	return err
}

// Clock reads kvm-clock.
func (vm *VM) Clock() (Clock, error) {
	var c Clock
	_, err := ioctlPtr(vm.fd, reqGetClock, &c)
	return c, err
}

// SetClock sets kvm-clock.
func (vm *VM) SetClock(c Clock) error {
	_, err := ioctlPtr(vm.fd, reqSetClock, &c)
	return err
}

// XSaveSize returns how many bytes a vCPU's XSAVE area takes on this host.
func (vm *VM) XSaveSize() (int, error) {
	n, err := vm.CheckExtension(CapXSave2)
	if err != nil {
		return 0, err
	}
	return max(n, len(XSave{}.Region)), nil
}
