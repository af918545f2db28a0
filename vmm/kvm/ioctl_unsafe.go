package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl calls req with an argument that is a plain number.
func (f *fd) ioctl(req request, arg uintptr) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.n), uintptr(req), arg)
	if errno != 0 {
		return 0, fmt.Errorf("%s: %w", req, errno)
	}
	return int(r), nil
}

// ioctlPtr calls req with a pointer argument. The conversion to uintptr stands
// in the argument list of the system call, the one place where the runtime
// keeps *arg alive and unmoved (package unsafe, rule 4).
func ioctlPtr[T any](f *fd, req request, arg *T) (int, error) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.n), uintptr(req), uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return 0, fmt.Errorf("%s: %w", req, errno)
	}
	return int(r), nil
}
