package vcpu

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save reads all that v is. Its CPU must be paused, and so must those of the
// machine's other processors. msrs is System.MSRIndexList. It fails with
// *NestedError if the guest is itself a host.
func Save(v *kvm.VCPU, msrs []uint32) (*statev1.CPU, error) {
	s := &statev1.CPU{Id: uint32(v.ID)}
	for _, read := range []func() error{
		// First, because KVM makes up its mind there about an INIT or a SIPI that
		// has arrived, and that changes all the others.
		func() (err error) { s.MpState, err = mpState(v); return err },
		// Before what it changes: KVM puts the address of an exception that waits to
		// be delivered into CR2, or its cause into DR6, when it is asked for it here,
		// unless KVM_CAP_EXCEPTION_PAYLOAD is on.
		func() error { return into(&s.Events, v.Events) },
		func() error { return into(&s.Regs, v.Regs) },
		func() error { return saveSregs(s, v) },
		func() error { return from(&s.DebugRegs, v.DebugRegs) },
		func() error { return from(&s.Xcrs, v.XCRs) },
		func() error { s.Xsave = make([]byte, v.XSaveSize); return v.XSave(s.Xsave) },
		func() (err error) { s.Cpuid, err = saveCPUID(v); return err },
		func() (err error) { s.TscKhz, err = tscKHz(v); return err },
		func() (err error) { s.Msrs, err = saveMSRs(v, msrs); return err },
		// After the MSRs: a timer that ends in between is saved as armed and as an
		// interrupt, which the guest's handler takes, and not as neither.
		func() error { return from(&s.Lapic, v.LAPIC) },
	} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("save vCPU %d: %w", v.ID, err)
		}
	}
	return s, nil
}

// into keeps what a call of KVM's fills in.
func into[T kvm.ABI](dst *[]byte, read func(*T) error) error {
	var v T
	err := read(&v)
	*dst = kvm.Bytes(&v)
	return err
}

// from keeps what a call of KVM's returns.
func from[T kvm.ABI](dst *[]byte, read func() (T, error)) error {
	v, err := read()
	*dst = kvm.Bytes(&v)
	return err
}

func mpState(v *kvm.VCPU) (uint32, error) {
	m, err := v.MPState()
	return uint32(m), err
}

func saveSregs(s *statev1.CPU, v *kvm.VCPU) error {
	var sregs kvm.Sregs
	if err := v.Sregs(&sregs); err != nil {
		return err
	}
	s.Sregs = kvm.Bytes(&sregs)
	return checkNested(v.ID, &sregs)
}

// checkNested refuses a guest that runs guests, with *NestedError: what KVM keeps
// of those is another state, KVM_GET_NESTED_STATE's.
func checkNested(id int, s *kvm.Sregs) error {
	if s.CR4&cr4VMXE != 0 || s.EFER&eferSVME != 0 {
		return &NestedError{CPU: id}
	}
	return nil
}

func saveCPUID(v *kvm.VCPU) ([]*statev1.CPUID, error) {
	entries, err := v.CPUID()
	list := make([]*statev1.CPUID, 0, len(entries))
	for _, e := range entries {
		list = append(list, &statev1.CPUID{
			Function: e.Function, Index: e.Index, Flags: e.Flags,
			Eax: e.EAX, Ebx: e.EBX, Ecx: e.ECX, Edx: e.EDX,
		})
	}
	return list, err
}

// tscKHz is 0 where the host doesn't tell, for its own counter is unstable; KVM
// API section 4.56.
func tscKHz(v *kvm.VCPU) (uint32, error) {
	khz, err := v.TSCKHz()
	if errors.Is(err, unix.EIO) {
		return 0, nil
	}
	return uint32(khz), err
}
