// Package eventfd wraps the kernel's event counters, by which KVM tells a
// device that a guest notified it (ioeventfd) and a device tells KVM to
// interrupt the guest (irqfd).
package eventfd

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// EventFD is an event counter. Signal may be called from any goroutine; Wait
// from one at a time; Close from any, and it ends a Wait.
//
// Its system calls never block, so the Go scheduler isn't told of them: that
// would wake the runtime's monitor thread for each event of a device at rest.
type EventFD struct {
	file *os.File // non-blocking: Wait parks a goroutine, not a thread
	raw  syscall.RawConn
	fd   int

	// Made once, so that an event costs no allocation.
	add  func(fd uintptr)
	take func(fd uintptr) (done bool)

	count uint64 // what take got; Wait's
}

// New returns a counter at zero.
func New() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create eventfd: %w (raise the limit of open files, ulimit -n)", err)
	}
	e := &EventFD{file: os.NewFile(uintptr(fd), "eventfd"), fd: fd}
	if e.raw, err = e.file.SyscallConn(); err != nil {
		e.file.Close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	e.add = addOne
	e.take = func(fd uintptr) bool { return takeAll(fd, &e.count) }
	return e, nil
}

// FD returns the descriptor, which stays e's own: for KVM, which takes a
// reference of its own.
func (e *EventFD) FD() int { return e.fd }

// Signal adds one to the counter. It fails only after Close, with os.ErrClosed.
func (e *EventFD) Signal() error {
	if e.raw.Control(e.add) != nil {
		return os.ErrClosed
	}
	return nil
}

// Wait blocks until the counter is not zero, clears it and returns what it
// was. After Close it returns os.ErrClosed.
func (e *EventFD) Wait() (uint64, error) {
	if e.raw.Read(e.take) != nil {
		return 0, os.ErrClosed
	}
	return e.count, nil
}

// Close releases the counter.
func (e *EventFD) Close() error { return e.file.Close() }
