package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel ends some requests with EINTR before they have done anything, such
// as KVM_CREATE_VM while it starts a thread, and the Go runtime sends its threads
// signals at any time. KVM_RUN, for which EINTR has a meaning, isn't called here.

// ioctl calls req with an argument that is a plain number.
func (f *fd) ioctl(req request, arg uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.n), uintptr(req), arg)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("%s: %w", req, errno)
		}
	}
}

// ioctlPtr calls req with a pointer argument. The conversion to uintptr stands
// in the argument list of the system call, the one place where the runtime
// keeps *arg alive and unmoved (package unsafe, rule 4).
func ioctlPtr[T any](f *fd, req request, arg *T) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.n), uintptr(req), uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("%s: %w", req, errno)
		}
	}
}
