// Package eventfd wraps the kernel's event counters, by which KVM tells a
// device that a guest notified it (ioeventfd) and a device tells KVM to
// interrupt the guest (irqfd).
package eventfd

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// EventFD is an event counter. Signal may be called from any goroutine; Wait
// from one at a time; Close from any, and it ends a Wait.
type EventFD struct {
	file *os.File // non-blocking: Wait parks a goroutine, not a thread
	fd   int
}

// New returns a counter at zero.
func New() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create eventfd: %w (raise the limit of open files, ulimit -n)", err)
	}
	return &EventFD{file: os.NewFile(uintptr(fd), "eventfd"), fd: fd}, nil
}

// FD returns the descriptor, which stays e's own: for KVM, which takes a
// reference of its own.
func (e *EventFD) FD() int { return e.fd }

// Signal adds one to the counter. It fails only after Close.
func (e *EventFD) Signal() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := e.file.Write(one[:])
	return err
}

// Wait blocks until the counter is not zero, clears it and returns what it
// was. After Close it returns os.ErrClosed.
func (e *EventFD) Wait() (uint64, error) {
	var b [8]byte
	if _, err := e.file.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

// Close releases the counter.
func (e *EventFD) Close() error { return e.file.Close() }
