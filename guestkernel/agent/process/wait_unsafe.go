package process

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfo mirrors the SIGCHLD part of siginfo_t, which x/sys/unix leaves
// blank.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	_                     [108]byte
}

// nextZombie waits for a child to end, and leaves it to be reaped. It fails
// with ECHILD if there is none to wait for.
func nextZombie() (int, error) {
	for {
		var info siginfo
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
			unix.WEXITED|unix.WNOWAIT, 0, 0)
		if errno == 0 {
			return int(info.pid), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
