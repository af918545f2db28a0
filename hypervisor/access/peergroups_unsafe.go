package access

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerGroups returns the supplementary groups that the peer of a unix socket had
// when it connected; socket(7) has SO_PEERCRED for the rest.
func peerGroups(fd int) ([]uint32, error) {
	for n := 64; ; { // few have more
		groups := make([]uint32, n)
		size := uint32(n * int(unsafe.Sizeof(groups[0])))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		have := int(size) / int(unsafe.Sizeof(groups[0]))
		switch {
		case errno == 0:
			return groups[:have], nil
		case !errors.Is(errno, unix.ERANGE) || have <= n:
			return nil, errno
		}
		n = have // which it has told, and can't change any more
	}
}
