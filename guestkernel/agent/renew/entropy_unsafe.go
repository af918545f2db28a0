package renew

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// addEntropy adds b to the kernel's pool, all of it unknown to anybody else.
func addEntropy(fd int, b []byte) error {
	// struct rand_pool_info: how many bits that is worth, how many bytes it is, and
	// the bytes.
	info := binary.NativeEndian.AppendUint32(nil, uint32(8*len(b)))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(b)))
	info = append(info, b...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0])))
	runtime.KeepAlive(info)
	if errno != 0 {
		return fmt.Errorf("add entropy: %w", errno)
	}
	return nil
}
