package hostprofile

import (
	"fmt"
	"strings"
)

// feature is a CPU feature by Linux's number: a word of 32 bits for each CPUID
// register, arch/x86/include/asm/cpufeatures.h. Those that are CPUID's own
// never change.
type feature int

// The features whose instructions the emulator of a software KVM lacks, for
// the guest's kernel to do without.
const (
	rdtscp feature = 1*32 + 27 // CPUID 0x80000001 EDX

	cx16   feature = 4*32 + 13 // CPUID 1 ECX
	pcid   feature = 4*32 + 17
	popcnt feature = 4*32 + 23
	rdrand feature = 4*32 + 30

	fsgsbase   feature = 9*32 + 0 // CPUID 7 EBX
	smep       feature = 9*32 + 7
	erms       feature = 9*32 + 9
	invpcid    feature = 9*32 + 10
	rdseed     feature = 9*32 + 18
	smap       feature = 9*32 + 20
	clflushopt feature = 9*32 + 23
	clwb       feature = 9*32 + 24

	xsaveopt feature = 10*32 + 0 // CPUID 0xd.1 EAX
	xsavec   feature = 10*32 + 1
	xsaves   feature = 10*32 + 3

	umip  feature = 16*32 + 2 // CPUID 7 ECX
	rdpid feature = 16*32 + 22

	fsrm feature = 18*32 + 4 // CPUID 7 EDX
)

// clearCPUID is the word that hides features from the guest's kernel. Numbers
// spare an emulated kernel the search for 19 names among 600.
func clearCPUID(features ...feature) string {
	numbers := make([]string, len(features))
	for i, f := range features {
		numbers[i] = fmt.Sprint(int(f))
	}
	return "clearcpuid=" + strings.Join(numbers, ",")
}
