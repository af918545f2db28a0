package kvm

import "fmt"

// The calls below read and write one part of a vCPU's state each. They fail
// with EINTR-free errors only; a vCPU that is inside Run on another thread
// makes them wait for it.

// Regs reads the general-purpose registers into r.
func (v *VCPU) Regs(r *Regs) error {
	_, err := ioctlPtr(v.fd, reqGetRegs, r)
	return err
}

// SetRegs writes the general-purpose registers.
func (v *VCPU) SetRegs(r *Regs) error {
	_, err := ioctlPtr(v.fd, reqSetRegs, r)
	return err
}

// Sregs reads segments, control registers and EFER into s.
func (v *VCPU) Sregs(s *Sregs) error {
	_, err := ioctlPtr(v.fd, reqGetSregs, s)
	return err
}

// SetSregs writes segments, control registers and EFER.
func (v *VCPU) SetSregs(s *Sregs) error {
	_, err := ioctlPtr(v.fd, reqSetSregs, s)
	return err
}

// FPU reads x87 and SSE state.
func (v *VCPU) FPU() (FPU, error) {
	var f FPU
	_, err := ioctlPtr(v.fd, reqGetFPU, &f)
	return f, err
}

// SetFPU writes x87 and SSE state.
func (v *VCPU) SetFPU(f FPU) error {
	_, err := ioctlPtr(v.fd, reqSetFPU, &f)
	return err
}

// XSave reads the XSAVE area, in standard form, into area, which must be
// XSaveSize bytes.
func (v *VCPU) XSave(area []byte) error {
	req := reqGetXSave
	if len(area) > len(XSave{}.Region) {
		req = reqGetXSave2
	}
	return v.xsave(req, area)
}

// SetXSave writes the XSAVE area from area, XSaveSize bytes in standard form.
func (v *VCPU) SetXSave(area []byte) error {
	return v.xsave(reqSetXSave, area)
}

// xsave checks what the kernel has no way to: it reads or writes XSaveSize bytes
// however many there are.
func (v *VCPU) xsave(req request, area []byte) error {
	if len(area) != v.XSaveSize {
		return fmt.Errorf("%s: %w", req, &SizeError{len(area), v.XSaveSize})
	}
	_, err := ioctlPtr(v.fd, req, &area[0])
	return err
}

// XCRs reads the extended control registers.
func (v *VCPU) XCRs() (XCRs, error) {
	var x XCRs
	_, err := ioctlPtr(v.fd, reqGetXCRs, &x)
	return x, err
}

// SetXCRs writes the extended control registers.
func (v *VCPU) SetXCRs(x XCRs) error {
	_, err := ioctlPtr(v.fd, reqSetXCRs, &x)
	return err
}

// DebugRegs reads DR0 to DR7.
func (v *VCPU) DebugRegs() (DebugRegs, error) {
	var d DebugRegs
	_, err := ioctlPtr(v.fd, reqGetDebugRegs, &d)
	return d, err
}

// SetDebugRegs writes DR0 to DR7.
func (v *VCPU) SetDebugRegs(d DebugRegs) error {
	_, err := ioctlPtr(v.fd, reqSetDebugRegs, &d)
	return err
}

// LAPIC reads the local APIC's register page.
func (v *VCPU) LAPIC() (LAPIC, error) {
	var l LAPIC
	_, err := ioctlPtr(v.fd, reqGetLAPIC, &l)
	return l, err
}

// SetLAPIC writes the local APIC's register page.
func (v *VCPU) SetLAPIC(l LAPIC) error {
	_, err := ioctlPtr(v.fd, reqSetLAPIC, &l)
	return err
}

// MPState reads whether the vCPU runs, halts or waits for start-up.
func (v *VCPU) MPState() (MPState, error) {
	var m MPState
	_, err := ioctlPtr(v.fd, reqGetMPState, &m)
	return m, err
}

// SetMPState writes whether the vCPU runs, halts or waits for start-up.
func (v *VCPU) SetMPState(m MPState) error {
	_, err := ioctlPtr(v.fd, reqSetMPState, &m)
	return err
}

// Events reads pending exceptions, interrupts and NMIs into e.
func (v *VCPU) Events(e *VCPUEvents) error {
	_, err := ioctlPtr(v.fd, reqGetVCPUEvents, e)
	return err
}

// SetEvents writes pending exceptions, interrupts and NMIs.
func (v *VCPU) SetEvents(e *VCPUEvents) error {
	_, err := ioctlPtr(v.fd, reqSetVCPUEvents, e)
	return err
}

// NMI queues a non-maskable interrupt.
func (v *VCPU) NMI() error {
	_, err := v.ioctl(reqNMI, 0)
	return err
}

// TSCKHz returns the frequency of the guest's time-stamp counter.
func (v *VCPU) TSCKHz() (int, error) {
	return v.ioctl(reqGetTSCKHz, 0)
}

// SetTSCKHz changes the frequency of the guest's time-stamp counter, on hosts
// with CapTSCControl.
func (v *VCPU) SetTSCKHz(khz int) error {
	_, err := v.ioctl(reqSetTSCKHz, uintptr(khz))
	return err
}

// KVMClockCtrl tells the guest that it was stopped by its host, so that its
// watchdogs don't take the pause for a hang. It fails with EINVAL if the guest
// doesn't use kvm-clock.
func (v *VCPU) KVMClockCtrl() error {
	_, err := v.ioctl(reqKVMClockCtrl, 0)
	return err
}

// Translate walks the guest's page tables for a linear address.
func (v *VCPU) Translate(linear uint64) (Translation, error) {
	t := Translation{LinearAddress: linear}
	_, err := ioctlPtr(v.fd, reqTranslate, &t)
	return t, err
}
