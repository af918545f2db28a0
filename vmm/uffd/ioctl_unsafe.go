package uffd

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl calls req with a pointer to its argument, which the conversion within the
// call's argument list keeps alive and unmoved (package unsafe, rule 4).
func ioctl[T any](fd uintptr, req request, arg *T) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(req), uintptr(unsafe.Pointer(arg)))
	if errno != 0 {
		return errno
	}
	return nil
}

// control is ioctl of what may be closed meanwhile.
func control[T any](f *FD, req request, arg *T) error {
	conn, err := f.file.SyscallConn()
	if err != nil {
		return err
	}
	var called error
	if err := conn.Control(func(fd uintptr) { called = ioctl(fd, req, arg) }); err != nil {
		return err
	}
	return called
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

func rangeOf(b []byte) rangeArg { return rangeArg{address(b), uint64(len(b))} }

// copyArg is struct uffdio_copy. Its source is kept as the pointer that it is.
type copyArg struct {
	dst    uint64
	src    unsafe.Pointer
	len    uint64
	_      uint64 // mode
	copied int64
}

// copyPages returns how many bytes were put, or why none was.
func copyPages(f *FD, dst, src []byte) (int64, error) {
	arg := copyArg{dst: address(dst), src: unsafe.Pointer(unsafe.SliceData(src)), len: uint64(len(src))}
	err := control(f, reqCopy, &arg)
	return arg.copied, err
}

// zeroPages is copyPages of zeroes.
func zeroPages(f *FD, dst []byte) (int64, error) {
	arg := zeroArg{rangeArg: rangeOf(dst)}
	err := control(f, reqZero, &arg)
	return arg.zeroed, err
}
