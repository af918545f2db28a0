package daemon

import (
	"container/list"
	"net"
	"sync"
	"syscall"
	"time"
)

// Bounds of clients on TCP that haven't said who they are. The oldest gives way to
// the next: those who mean it are done in a moment, and whoever fills the places
// can't keep them.
const (
	handshakeTime   = 3 * time.Second
	handshakes      = 512
	handshakesOfOne = 128 // address
)

// boundHandshakes returns a listener whose connections are closed unless their handshakes
// end in time, and before many others'. Its connections are still the system's,
// for who asks the kernel about them.
func boundHandshakes(l net.Listener) net.Listener {
	return &handshakeListener{Listener: l, time: handshakeTime, of: map[string]*list.List{}}
}

type handshakeListener struct {
	net.Listener
	time time.Duration

	mu  sync.Mutex            // the rest; no other lock is taken under it
	all list.List             // of *handshakeConn, the oldest first
	of  map[string]*list.List // the same, by address
}

// Accept implements net.Listener.
func (l *handshakeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &handshakeConn{Conn: conn, listener: l}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.address = a.IP.String()
		if old := l.enter(c); old != nil {
			old.Close()
		}
	}
	return c, nil
}

// enter gives a connection a place, and returns the one that loses its own for it,
// if any.
func (l *handshakeListener) enter(c *handshakeConn) (old *handshakeConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	its := l.of[c.address]
	if its == nil {
		its = list.New()
		l.of[c.address] = its
	}
	switch {
	case its.Len() >= handshakesOfOne:
		old = its.Front().Value.(*handshakeConn)
	case l.all.Len() >= handshakes:
		old = l.all.Front().Value.(*handshakeConn)
	}
	if old != nil {
		l.remove(old)
		l.of[c.address] = its // if it was the last one's
	}
	c.inAll, c.inIts = l.all.PushBack(c), its.PushBack(c)
	c.late = time.AfterFunc(l.time, func() { c.Close() })
	return old
}

// leave frees the place of a connection, if it has one.
func (l *handshakeListener) leave(c *handshakeConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
}

// remove is leave for who holds l.mu.
func (l *handshakeListener) remove(c *handshakeConn) {
	if c.inAll == nil {
		return
	}
	c.late.Stop()
	its := l.of[c.address]
	l.all.Remove(c.inAll)
	its.Remove(c.inIts)
	if its.Len() == 0 {
		delete(l.of, c.address)
	}
	c.inAll, c.inIts = nil, nil
}

type handshakeConn struct {
	net.Conn
	listener *handshakeListener
	address  string

	// The rest is the listener's, under its lock: the place among those that are
	// unknown.
	inAll, inIts *list.Element
	late         *time.Timer
}

// known is called when the handshake is over.
func (c *handshakeConn) known() { c.listener.leave(c) }

// Close implements net.Conn.
func (c *handshakeConn) Close() error {
	c.listener.leave(c)
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn.
func (c *handshakeConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}
