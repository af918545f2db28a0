package uffd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	device = "/dev/userfaultfd"
	flags  = unix.O_CLOEXEC | unix.O_NONBLOCK // of what is made
)

// FD is an open userfaultfd of this process. Its methods may be called from any
// goroutine. Close ends it, and whoever reads.
type FD struct{ file *os.File }

// Open opens one. It fails with os.ErrPermission where this process may not.
func Open() (*FD, error) {
	n, err := open()
	if err != nil {
		return nil, fmt.Errorf("userfaultfd: %w: give this user access to %s", err, device)
	}
	arg := apiArg{api: apiVersion}
	if err := ioctl(uintptr(n), reqAPI, &arg); err != nil {
		return nil, errors.Join(fmt.Errorf("UFFDIO_API: %w", err), unix.Close(n))
	}
	// It is non-blocking, for the runtime's poller, which takes one that isn't ready
	// for use, before UFFDIO_API, for broken.
	return &FD{os.NewFile(uintptr(n), "userfaultfd")}, nil
}

// open asks the device, which is there since Linux 6.1, and then the system call.
func open() (int, error) {
	dev, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return systemCall(err)
	}
	defer unix.Close(dev)
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(dev), uintptr(reqNew), flags)
	if errno != 0 {
		return 0, os.NewSyscallError("USERFAULTFD_IOC_NEW", errno)
	}
	return int(n), nil
}

// systemCall returns how opening the device failed where the call isn't allowed,
// either: that is what can be mended.
func systemCall(failed error) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, flags, 0, 0)
	if errno != 0 {
		return 0, &os.PathError{Op: "open", Path: device, Err: failed}
	}
	return int(n), nil
}

// Register has who touches a page of b that isn't there wait. b is whole pages of
// private anonymous memory.
func (f *FD) Register(b []byte) error {
	arg := registerArg{rangeArg: rangeOf(b), mode: registerMissing}
	if err := control(f, reqRegister, &arg); err != nil {
		return fmt.Errorf("UFFDIO_REGISTER: %w", err)
	}
	return nil
}

// Unregister undoes Register for a part of it: what isn't there is zeroes from now
// on. Who waits goes on. It fails with unix.ENOMEM when the process has as many
// mappings as it may.
func (f *FD) Unregister(b []byte) error {
	arg := rangeOf(b)
	if err := control(f, reqUnregister, &arg); err != nil {
		return fmt.Errorf("UFFDIO_UNREGISTER: %w", err)
	}
	return nil
}

// Wake has those go on who wait for a page of b.
func (f *FD) Wake(b []byte) error {
	arg := rangeOf(b)
	if err := control(f, reqWake, &arg); err != nil {
		return fmt.Errorf("UFFDIO_WAKE: %w", err)
	}
	return nil
}

// pageSize is what there is of x86's that anonymous memory has.
const pageSize = 4096

// Copy puts src, whole pages, into dst, of the same size, and has those go on who
// wait for it. Pages that are there already stay as they are.
func (f *FD) Copy(dst, src []byte) error {
	return each(dst, func(at int) (int64, error) { return copyPages(f, dst[at:], src[at:]) }, f.Wake)
}

// Zero is Copy of zeroes, which takes no memory.
func (f *FD) Zero(dst []byte) error {
	return each(dst, func(at int) (int64, error) { return zeroPages(f, dst[at:]) }, f.Wake)
}

// each calls put until all of dst is there: it may do a part, and none where a page
// is there already or the process's mappings are being changed.
func each(dst []byte, put func(at int) (int64, error), wake func([]byte) error) error {
	for at := 0; at < len(dst); {
		n, err := put(at)
		switch {
		case n > 0: // some, and an error for the rest comes again
			at += int(n)
		case errors.Is(err, unix.EEXIST):
			if err := wake(dst[at : at+pageSize]); err != nil {
				return err
			}
			at += pageSize
		case errors.Is(err, unix.EAGAIN):
		case err != nil:
			return err
		}
	}
	return nil
}

// Buffer is what Read needs, for one goroutine.
type Buffer [16 * messageSize]byte

// Read waits for faults and calls do with the address of each. It fails with
// os.ErrClosed after Close.
func (f *FD) Read(buf *Buffer, do func(address uintptr)) error {
	n, err := f.file.Read(buf[:])
	if err != nil {
		return fmt.Errorf("userfaultfd: %w", err)
	}
	for b := buf[:n]; len(b) >= messageSize; b = b[messageSize:] {
		if b[0] == eventPageFault {
			do(uintptr(binary.LittleEndian.Uint64(b[addressOffset:])))
		}
	}
	return nil
}

// Close ends it. Who waits for a page goes on and finds zeroes.
func (f *FD) Close() error { return f.file.Close() }
