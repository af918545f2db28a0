package memory

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore sets the lowest bit of pages, one byte for each page of b, where the host
// has it: in memory or, of a file that this user may write to, in its cache.
func mincore(b, pages []byte) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0])))
	return errno
}
