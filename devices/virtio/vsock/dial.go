package vsock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
)

// A unix socket whose backlog is full can't be waited for. It is tried again
// after redialTime, twice that, and so on: for 1.3 seconds, where Linux guests
// wait for two.
const (
	redialTime = 10 * time.Millisecond
	redials    = 7
)

// dial serves a guest's request for a connection.
func (e *engine) dial(h *header) {
	d := e.route(h.dstPort)
	if d == nil || e.full(d) {
		e.refuse(h)
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		e.short(err)
		e.refuse(h)
		return
	}
	err = d.connect(fd, h.dstPort)
	if err != nil && err != unix.EAGAIN {
		unix.Close(fd)
		e.refuse(h)
		return
	}
	c := e.add(key{guestPort: h.srcPort, hostPort: h.dstPort}, e.open(fd), d, dialing)
	c.hear(h)
	e.reached(c, err)
}

// connect reaches for the host process that listens for a guest port. It
// doesn't wait.
func (d *door) connect(fd int, port uint32) error {
	return unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("%s_%d", d.Path, port)})
}

// expired implements the owner of a timer: who was waited for took too long,
// or another attempt is due.
func (c *conn) expired(e *engine) {
	if c.phase == dialing {
		e.reached(c, c.door.connect(c.fd, c.hostPort))
		return
	}
	c.hostEOF, c.hostGone = true, true // nothing more of it is of use
	e.reset(c)
}

// reached is called with the outcome of an attempt to connect c.
func (e *engine) reached(c *conn, err error) {
	switch {
	case err == unix.EAGAIN && c.tries < redials:
		e.timers.set(&c.timer, redialTime<<c.tries)
		c.tries++
	case err != nil:
		e.reset(c)
	default:
		if c.token, err = e.watch(c.fd, poll.In|poll.Out|poll.Edge, c); err != nil {
			e.short(err)
			e.reset(c)
			return
		}
		c.phase = open
		e.owe(c, oweResponse)
	}
}
