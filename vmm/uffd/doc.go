// Package uffd is userfaultfd: the kernel has a thread wait that touches a page
// which isn't there, and asks for it.
//
// Whoever opens one asks for faults of the kernel's own, too: KVM touches guest
// memory from within the kernel. That takes /dev/userfaultfd, or CAP_SYS_PTRACE, or
// the sysctl vm.unprivileged_userfaultfd.
//
// Go code must never touch a page that isn't there: its thread waits where the
// scheduler doesn't see it, and a garbage collection that begins meanwhile waits for
// that thread and keeps every goroutine from answering, for ever.
package uffd
