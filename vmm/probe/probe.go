// Package probe finds out what a host's KVM can do.
package probe

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Report is what Host found out. Its JSON form is what "bulkhead-vmm probe"
// prints.
type Report struct {
	// Profile is the kind of KVM, in words.
	Profile string `json:"profile"`
	// Hardware says whether guests run on hardware virtualization.
	Hardware bool `json:"hardware"`
	// MaxVCPUs is the most a machine may have, by KVM.
	MaxVCPUs int `json:"max_vcpus"`
	// Problem is why guests can't run here; empty if they can.
	Problem string `json:"problem,omitempty"`
	// Remedy is a command that mends it, if one does.
	Remedy string `json:"remedy,omitempty"`
}

// required lists what a machine can't do without.
func required() map[string]kvm.Cap {
	return map[string]kvm.Cap{
		"KVM_CAP_USER_MEMORY":               kvm.CapUserMemory,
		"KVM_CAP_IRQCHIP":                   kvm.CapIRQChip,
		"KVM_CAP_PIT2":                      kvm.CapPIT2,
		"KVM_CAP_IRQFD":                     kvm.CapIRQFD,
		"KVM_CAP_IOEVENTFD":                 kvm.CapIOEventFD,
		"KVM_CAP_EXT_CPUID":                 kvm.CapExtCPUID,
		"KVM_CAP_IMMEDIATE_EXIT":            kvm.CapImmediateExit,
		"KVM_CAP_XSAVE":                     kvm.CapXSave,
		"KVM_CAP_EXIT_ON_EMULATION_FAILURE": kvm.CapExitOnEmulationFailure,
	}
}

// Host probes this host.
func Host() Report {
	profile := hostprofile.Detect()
	r := Report{Profile: profile.String(), Hardware: profile.Hardware()}
	sys, err := kvm.Open("")
	if err != nil {
		r.Problem = err.Error()
		if e := (*kvm.OpenError)(nil); errors.As(err, &e) {
			r.Problem, r.Remedy = fmt.Sprintf("open %s: %v", e.Path, e.Err), e.Remedy
		}
		return r
	}
	defer sys.Close()
	for name, c := range required() {
		if n, err := sys.CheckExtension(c); err != nil || n == 0 {
			r.Problem = fmt.Sprintf("KVM lacks %s: run a Linux kernel of 5.15 or newer", name)
			return r
		}
	}
	if r.MaxVCPUs, err = sys.CheckExtension(kvm.CapMaxVCPUs); err != nil {
		r.Problem = err.Error()
		return r
	}
	vm, err := sys.CreateVM()
	if err != nil {
		r.Problem = fmt.Sprintf("KVM is there but makes no machine: %v", err)
		return r
	}
	vm.Close()
	return r
}
