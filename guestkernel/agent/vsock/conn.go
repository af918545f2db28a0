// Package vsock has stream sockets between the guest and its host, as
// net.Conn and net.Listener.
package vsock

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
)

// Host is the address of the machine's host.
const Host = unix.VMADDR_CID_HOST

// name is that of the sockets in errors.
const name = "vsock"

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
	*socket.Conn
	local  Addr
	remote Addr
}

var _ net.Conn = (*Conn)(nil)
var _ syscall.Conn = (*Conn)(nil)

// LocalAddr returns the guest's side.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other side.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func newSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("vsock socket: %w (the kernel needs CONFIG_VIRTIO_VSOCKETS)", err)
	}
	return fd, nil
}
