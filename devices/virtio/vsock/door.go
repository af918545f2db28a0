package vsock

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// retryTime is how long host processes wait for the host to have descriptors
// again.
const retryTime = time.Second

// door is a route as the engine sees it: where host processes come in.
type door struct {
	*listener
	timer
	limit   int  // of connections, at which it closes
	waiting bool // there may be somebody whom nobody let in yet
}

func newDoor(l *listener, limit int) *door {
	if l.isDefault() {
		limit -= spareConns
	}
	d := &door{listener: l, limit: limit}
	d.owner = d
	return d
}

// event implements source: somebody wants to connect. Whoever finds no room
// stays in the backlog until there is some.
func (d *door) event(e *engine, _ uint32) {
	for d.waiting = true; !e.full(d); {
		fd, _, err := unix.Accept4(d.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			e.greet(d, fd)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			d.waiting = false
			return
		default:
			e.short(err)
			e.timers.set(&d.timer, retryTime)
			return
		}
	}
}

func (d *door) expired(e *engine) { d.event(e, 0) }

// full reports whether there is no room for one more connection by way of d.
func (e *engine) full(d *door) bool {
	if e.sockets < d.limit {
		return false
	}
	e.reported.Do(func() {
		e.report(fmt.Errorf("%d connections, and no more until one ends: a guest has at most %d, and as many as the limit of open files (ulimit -n) leaves room for",
			e.sockets, maxConns))
	})
	return true
}

// short notes that the host lacks something that a connection takes.
func (e *engine) short(err error) {
	e.reported.Do(func() {
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			err = fmt.Errorf("%w (raise the limit of open files, ulimit -n)", err)
		}
		e.report(fmt.Errorf("no more connections for now: %w", err))
	})
}

// letIn looks at who had to wait, once there is room again.
func (e *engine) letIn() {
	if !e.freed {
		return
	}
	e.freed = false
	for _, d := range e.doors {
		if d.waiting {
			d.event(e, 0)
		}
	}
}

// route returns the door that a guest port's traffic takes, nil if there is
// none.
func (e *engine) route(port uint32) (fallback *door) {
	for _, d := range e.doors {
		if d.claims(port) {
			return d
		}
		if d.isDefault() {
			fallback = d
		}
	}
	return fallback
}

// socket is the host's end of a connection, or of what is to become one.
type socket struct {
	fd    int // -1 once closed
	token uint64
}

// open takes fd over.
func (e *engine) open(fd int) socket {
	e.sockets++
	return socket{fd: fd}
}

// close makes room for another connection than one that was opened.
func (e *engine) close() {
	e.sockets--
	e.freed = true
}

// hangUp closes s, which is how an end or a refusal looks to a host process.
func (e *engine) hangUp(s *socket) {
	if s.fd < 0 {
		return
	}
	delete(e.tokens, s.token)
	unix.Close(s.fd)
	s.fd = -1
}
