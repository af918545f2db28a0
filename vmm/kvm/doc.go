// Package kvm is a typed layer over the ioctls of /dev/kvm on x86-64.
//
// A [System] is an open /dev/kvm and creates a [VM]; a VM creates each [VCPU].
// Every one owns one file descriptor, closes it once, and belongs to the
// process that created it: the kernel refuses VM and vCPU descriptors that
// crossed a fork or a socket.
//
// Numbers and structures mirror the kernel's <linux/kvm.h> and <asm/kvm.h>;
// a test asks the C compiler for each size, offset and value. The behaviour
// behind a call is specified in Documentation/virt/kvm/api.rst ("KVM API"),
// cited here by section.
//
// Concurrency: System and VM methods may be called from any goroutine. VCPU
// methods must not overlap, save for [VCPU.SetImmediateExit], and
// [VCPU.Run] must be called from one locked thread.
package kvm
