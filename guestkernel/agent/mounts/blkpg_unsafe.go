package mounts

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const blkpgAddPartition = 1

// blkpgArg and blkpgPartition mirror <linux/blkpg.h>.
type blkpgArg struct {
	op, flags, size int32
	data            *blkpgPartition
}

type blkpgPartition struct {
	start, length int64
	number        int32
	_             [64]byte
	_             [64]byte
	_             int32
}

// addPartition tells the kernel of a partition of the disk fd.
func addPartition(fd int, p partition) error {
	data := blkpgPartition{start: p.start, length: p.length, number: int32(p.number)}
	arg := blkpgArg{op: blkpgAddPartition, size: int32(unsafe.Sizeof(data)), data: &data}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return errno
	}
	return nil
}
