// Package emulate completes, for KVM, guest instructions that KVM's own
// emulator gave up on (KVM_INTERNAL_ERROR_EMULATION).
//
// Hosts with hardware virtualization don't need it. The software KVM of
// package hostprofile emulates guest kernels one instruction at a time and
// knows neither the XSAVE family nor a dozen others; what it reports as a
// failure ends up here:
//
//	exit ─▶ decode the bytes ─▶ run the instruction on the vCPU's state,
//	        walking the guest's page tables ─▶ set registers, or inject a fault
//
// The guest chooses the bytes, the addresses and the page tables. Each access
// is checked as the processor would check it, and what isn't known is handed
// back as a failure.
package emulate
