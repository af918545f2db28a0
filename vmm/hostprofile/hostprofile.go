// Package hostprofile knows what kind of KVM a host has and what a guest needs
// to run well on it.
package hostprofile

import (
	"os"
	"time"
)

// Profile is a kind of KVM host. The zero value is a host with hardware
// virtualization, where nothing special is needed.
type Profile struct {
	// Name is empty for hardware virtualization.
	Name string
	// Cmdline are kernel command line words every guest gets.
	Cmdline string
	// MaskKVMFeatures are bits of CPUID 0x40000001 EAX, KVM's paravirtual
	// features, that are kept from guests.
	MaskKVMFeatures uint32
	// CompleteInstructions says that KVM's emulator runs guest kernels and
	// lacks instructions that the VMM must complete.
	CompleteInstructions bool
	// TimerSlack is by how much the VMM's timers may be late. 0: by what the
	// kernel is by itself.
	TimerSlack time.Duration
}

// Hardware reports whether the host has hardware virtualization.
func (p Profile) Hardware() bool { return p.Name == "" }

// String names the profile for people.
func (p Profile) String() string {
	if p.Hardware() {
		return "hardware (VT-x or AMD-V)"
	}
	return "software (" + p.Name + ")"
}

const pvmModule = "/sys/module/kvm_pvm"

// Detect returns the profile of this host.
func Detect() Profile {
	if _, err := os.Stat(pvmModule); err == nil {
		return pvm()
	}
	return Profile{}
}
