package forward

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
)

// dial connects to a port of the loopback's first address, or of its other one
// if nobody has it there.
func dial(ctx context.Context, port uint16) (*socket.Conn, error) {
	c, err := connect(ctx, unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.ECONNREFUSED) {
		six, err6 := connect(ctx, unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: [16]byte{15: 1}})
		if err6 == nil {
			return six, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("port %d of the guest's loopback: %w", port, err)
	}
	return c, nil
}

func connect(ctx context.Context, family int, to unix.Sockaddr) (*socket.Conn, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	// What comes in pieces goes on in pieces; a kernel that doesn't is only slower.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	c, err := socket.Connect(ctx, fd, to, "forwarded connection")
	if err != nil {
		return nil, err
	}
	if toItself(c, to) {
		c.Close()
		return nil, unix.ECONNREFUSED
	}
	return c, nil
}

// toItself tells whether the kernel gave a socket the very port that it was to
// connect to, as nobody else had it: TCP lets it connect to itself.
func toItself(c *socket.Conn, to unix.Sockaddr) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var local unix.Sockaddr
	_ = raw.Control(func(fd uintptr) { local, _ = unix.Getsockname(int(fd)) })
	return portOf(local) == portOf(to)
}

func portOf(a unix.Sockaddr) int {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}
