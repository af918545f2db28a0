package daemon

import (
	"net"
	"sync"
	"syscall"
)

// limited returns a listener that lets so many clients be connected at once; more
// wait to be accepted. Its connections are still the system's, for who asks the
// kernel about them.
func limited(l net.Listener, connections int) net.Listener {
	return &limitListener{Listener: l, places: make(chan struct{}, connections), closed: make(chan struct{})}
}

type limitListener struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *limitConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn.
func (c *limitConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, syscall.EINVAL
}
