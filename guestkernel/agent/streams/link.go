package streams

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Link is a process's stream, over one connection after another: when the machine
// is restored from a snapshot, all its connections break, and another host takes
// them up. Who reads, writes or waits then waits for that, as [Hub] has it. Else a
// connection that breaks is the link's end.
//
// Its methods may be called from any goroutine, Read and Write by one each. Whoever
// has it closes it.
type Link struct {
	hub *Hub
	key key

	mu       sync.Mutex
	now      *Stream
	since    *hold         // in which now came; nil: none
	changed  chan struct{} // closed, and another made, when now changes; closed by Close
	closed   bool
	half     bool // CloseWrite was called
	deadline time.Time
}

func newLink(h *Hub, k key, s *Stream) *Link {
	l := &Link{hub: h, key: k, now: s, changed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links[k] = l
	return l
}

// Read reads what the host sends. The end of file is the host's half-close.
func (l *Link) Read(p []byte) (int, error) {
	for {
		c, half := l.current()
		n, err := c.Read(p)
		switch {
		case n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case errors.Is(err, io.EOF) && (half || !c.gone()):
			return 0, err
		}
		if l.successor(c, nil) == nil {
			return 0, err
		}
	}
}

// Write writes all of p, the rest of it to the next connection if one breaks.
func (l *Link) Write(p []byte) (n int, err error) {
	for {
		c, _ := l.current()
		m, err := c.Write(p[n:])
		if n += m; err == nil || l.successor(c, nil) == nil {
			return n, err
		}
	}
}

// Gone tells whether the host has closed the stream altogether, and not only its
// own direction. It can't tell after CloseWrite, which looks the same.
func (l *Link) Gone() bool {
	for {
		c, _ := l.current()
		if !c.gone() {
			return false
		}
		if l.successor(c, nil) == nil {
			return true
		}
	}
}

// WaitGone waits until Gone, and returns true, or until the link is closed here or
// its deadline for reading has passed. Nobody may read meanwhile.
func (l *Link) WaitGone() bool {
	for {
		c, _ := l.current()
		gone := c.WaitGone()
		if now, _ := l.current(); now == c && !gone {
			return false
		}
		if l.successor(c, nil) == nil {
			return !l.isClosed()
		}
	}
}

// CloseWrite tells the host, and any that follows it, that no more will come.
func (l *Link) CloseWrite() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.half = true
	return l.now.CloseWrite()
}

// SetReadDeadline sets the deadline of this connection and those that follow it.
func (l *Link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	return l.now.SetReadDeadline(t)
}

// Close ends the link, and what waits for it.
func (l *Link) Close() error {
	l.hub.forget(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.changed)
	}
	return l.now.Close()
}

func (l *Link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// current returns the connection there is, and whether it was half-closed here.
func (l *Link) current() (c *Stream, half bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.half
}
