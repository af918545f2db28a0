package vcpu

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threadName is what tools such as top show of a thread: 15 bytes and a zero.
type threadName [16]byte

// nameThread names the calling thread after a vCPU, for people who look for
// who uses the processor. Where it can't be done it isn't.
func nameThread(id int) {
	var name threadName
	copy(name[:len(name)-1], fmt.Sprintf("vcpu%d", id))
	unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0)
}
