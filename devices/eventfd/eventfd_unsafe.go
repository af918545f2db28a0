package eventfd

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// size is what a read or write of a counter takes.
const size = 8

// addOne adds one to a counter. It can't fail: 2^64 events don't come to pass.
func addOne(fd uintptr) {
	one := uint64(1)
	unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&one)), size)
}

// takeAll reads a counter and clears it. It reports false if it is zero.
func takeAll(fd uintptr, count *uint64) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(count)), size)
	return errno == 0
}
