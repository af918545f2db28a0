// Package iovec is vectored I/O between a descriptor and buffers in guest
// memory, without copies and without allocation.
package iovec

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many buffers one system call takes here; they lie on the stack.
const batch = 128

// vector is the argument of readv and its kin.
type vector [batch]unix.Iovec

// fill lists the first buffers of bufs, none of them empty, and returns the
// rest.
func (v *vector) fill(bufs [][]byte) (n, size int, rest [][]byte) {
	n = min(len(bufs), batch)
	for i, b := range bufs[:n] {
		v[i] = unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
		size += len(b)
	}
	return n, size, bufs[n:]
}

// call makes one system call; offset and flags are for those that have them.
func (v *vector) call(trap uintptr, fd, n int, offset int64, flags uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(v)), uintptr(n), uintptr(offset), 0, flags)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// positioned calls trap from off on until bufs are through, or the file takes
// or gives no more.
func positioned(trap uintptr, fd int, bufs [][]byte, off int64, flags uintptr) (done int, err error) {
	var v vector
	for len(bufs) > 0 {
		n, size, rest := v.fill(bufs)
		got, err := v.call(trap, fd, n, off+int64(done), flags)
		done += got
		if err != nil || got < size {
			return done, err
		}
		bufs = rest
	}
	return done, nil
}

// Preadv reads at off into bufs. It returns less than they hold only at the
// end of the file.
func Preadv(fd int, bufs [][]byte, off int64) (int, error) {
	return positioned(unix.SYS_PREADV, fd, bufs, off, 0)
}

// PreadvNowait is Preadv of what is in memory: it returns less, or EAGAIN,
// rather than wait for a disk, and EOPNOTSUPP where that can't be asked for.
func PreadvNowait(fd int, bufs [][]byte, off int64) (int, error) {
	return positioned(unix.SYS_PREADV2, fd, bufs, off, unix.RWF_NOWAIT)
}

// Pwritev writes bufs at off; a short count without an error is possible, as
// for pwritev(2).
func Pwritev(fd int, bufs [][]byte, off int64) (int, error) {
	return positioned(unix.SYS_PWRITEV, fd, bufs, off, 0)
}

// Readv reads into bufs what is there: one datagram, or a stream's bytes.
func Readv(fd int, bufs [][]byte) (int, error) {
	var v vector
	n, _, _ := v.fill(bufs)
	return v.call(unix.SYS_READV, fd, n, 0, 0)
}

// Writev writes bufs in one call: one datagram, or what a stream takes now. A
// datagram in more than 128 pieces is cut short.
func Writev(fd int, bufs [][]byte) (int, error) {
	var v vector
	n, _, _ := v.fill(bufs)
	return v.call(unix.SYS_WRITEV, fd, n, 0, 0)
}
