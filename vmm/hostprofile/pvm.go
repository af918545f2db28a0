package hostprofile

import (
	"strings"
	"time"
)

// KVM's paravirtual features that use the VMCALL instruction;
// Documentation/virt/kvm/x86/cpuid.rst.
const (
	featurePVUnhalt     = 1 << 7
	featurePVSendIPI    = 1 << 11
	featurePVSchedYield = 1 << 13
)

// pvm is the nested software KVM of the kvm_pvm module: guest user code runs
// natively, guest kernel code is emulated one instruction at a time.
func pvm() Profile {
	return Profile{
		Name: "kvm_pvm",
		Cmdline: strings.Join([]string{
			clearCPUID(
				smap, cx16, erms, fsrm, rdrand, rdseed, fsgsbase, invpcid, popcnt, rdtscp, rdpid,
				smep, pcid, clflushopt, clwb, umip, xsaves, xsavec, xsaveopt,
			),
			"nofsgsbase", "noinvpcid", "nopcid",
			// Loading and interpreting ACPI's tables takes 2.6 million
			// instructions on top of the 9.6 to a ready agent, and a
			// fifth of the time on top. acpi=force has it all the same.
			"acpi=off",
			// Work that buys nothing on emulated code and costs seconds.
			"rodata=off", "mitigations=off", "noreplace-smp",
			// Memory cleared that nobody reads: REP STOS is emulated by the word.
			"init_on_alloc=0",
			// Words of our kernel's patches: guestkernel/patches.
			"lean_boot", "lazy_memmap",
			// A tick is milliseconds long, and so is each wake-up by a timer.
			"tick_stretch=20", "bulkhead.timerslack=50ms",
		}, " "),
		MaskKVMFeatures:      featurePVUnhalt | featurePVSendIPI | featurePVSchedYield,
		CompleteInstructions: true,
		// A thread woken by a timer costs 25 µs, which the Go runtime's monitor
		// would spend 60 times after each exit. A bucket of devices/ratelimit
		// holds what comes meanwhile.
		TimerSlack: 5 * time.Millisecond,
	}
}
