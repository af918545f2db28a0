package pager

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func mincore(b, pages []byte) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0])))
	return errno
}
