// Package poll waits for many descriptors at once, for a device that serves
// all its connections from one goroutine.
package poll

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Readiness, as epoll_ctl(2) names it.
const (
	In     = unix.EPOLLIN
	Out    = unix.EPOLLOUT
	Hangup = unix.EPOLLHUP
	Error  = unix.EPOLLERR
	// Edge reports each change once, instead of each state again and again.
	Edge = 1 << 31
)

// Event says that the descriptor added with Token is ready.
type Event struct {
	Token uint64
	Ready uint32
}

// batch is how many events one Wait returns at most.
const batch = 64

// Poller is a set of descriptors. It belongs to one goroutine, save for Close.
type Poller struct {
	file *os.File // of the epoll instance, itself known to the Go runtime's
	raw  syscall.RawConn
	fd   int

	look   func(uintptr) bool // made once, so that Wait allocates nothing
	raws   [batch]unix.EpollEvent
	events [batch]Event
	n      int
	err    error
}

// New returns an empty Poller.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll instance: %w", err)
	}
	// Only descriptors marked non-blocking are taken in by the runtime's
	// poller, which lets a goroutine wait instead of a thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	p.look = p.poll
	return p, nil
}

// Add watches fd until it is closed.
func (p *Poller) Add(fd int, ready uint32, token uint64) error {
	e := unix.EpollEvent{Events: ready, Fd: int32(token), Pad: int32(token >> 32)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Wait returns what is ready, waiting for something until the deadline, if that
// isn't zero. The slice is good until the next call.
func (p *Poller) Wait(deadline time.Time) ([]Event, error) {
	if err := p.file.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	p.n, p.err = 0, nil
	err := p.raw.Read(p.look)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil
	}
	return p.events[:p.n], errors.Join(err, p.err)
}

// Look returns what is ready now. The slice is good until the next call.
func (p *Poller) Look() ([]Event, error) {
	p.poll(0)
	return p.events[:p.n], p.err
}

// poll looks for events without waiting and reports whether to stop waiting.
func (p *Poller) poll(uintptr) bool {
	n, err := unix.EpollWait(p.fd, p.raws[:], 0)
	if err == unix.EINTR {
		n, err = 0, nil
	}
	p.n, p.err = max(n, 0), err
	for i, e := range p.raws[:p.n] {
		p.events[i] = Event{Token: uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32, Ready: e.Events}
	}
	return n != 0 || err != nil
}

// Close frees the Poller; the descriptors stay their owners'.
func (p *Poller) Close() error { return p.file.Close() }
