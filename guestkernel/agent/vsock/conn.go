// Package vsock has stream sockets between the guest and its host, as
// net.Conn and net.Listener. It parks goroutines, not threads.
package vsock

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is the address of the machine's host.
const Host = unix.VMADDR_CID_HOST

// Addr is an address on either side.
type Addr struct {
	CID, Port uint32
}

// Network returns "vsock".
func (Addr) Network() string { return "vsock" }

func (a Addr) String() string { return fmt.Sprintf("%d:%d", a.CID, a.Port) }

// Conn is a connection. Its methods may be called from any goroutine; Close
// ends those that wait.
type Conn struct {
	*os.File // a non-blocking socket
	local    Addr
	remote   Addr
}

var _ net.Conn = (*Conn)(nil)
var _ syscall.Conn = (*Conn)(nil)

func newConn(fd int, local, remote Addr) *Conn {
	return &Conn{os.NewFile(uintptr(fd), "vsock"), local, remote}
}

// LocalAddr returns the guest's side.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other side.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// CloseWrite tells the other side that no more will come.
func (c *Conn) CloseWrite() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		return err
	}
	return errno
}

func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("vsock socket: %w (the kernel needs CONFIG_VIRTIO_VSOCKETS)", err)
	}
	return fd, nil
}
