package vsock

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
)

const backlog = 64

// Listener accepts connections from one peer only: any other, such as a
// process of this guest, is turned away.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	port uint32
	peer uint32
}

// Listen listens on port for connections from the machine with the address
// peer.
func Listen(port, peer uint32) (*Listener, error) {
	fd, err := newSocket()
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind vsock port %d: %w", port, err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen on vsock port %d: %w", port, err)
	}
	file := os.NewFile(uintptr(fd), "vsock listener")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Listener{file, raw, port, peer}, nil
}

// Accept waits for a connection. It fails only after Close, with an error that
// wraps os.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		fd, from, err := l.accept()
		switch {
		case err == nil && from.CID == l.peer:
			return &Conn{socket.New(fd, name), Addr{unix.VMADDR_CID_ANY, l.port}, from}, nil
		case err == nil:
			unix.Close(fd)
		case isErrno(err):
			// A connection that is gone already, or no room for it.
			time.Sleep(10 * time.Millisecond)
		default:
			return nil, err
		}
	}
}

func (l *Listener) accept() (fd int, from Addr, err error) {
	var errno error
	err = l.raw.Read(func(listener uintptr) bool {
		var sa unix.Sockaddr
		fd, sa, errno = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if vm, ok := sa.(*unix.SockaddrVM); ok {
			from = Addr{vm.CID, vm.Port}
		}
		return errno != unix.EAGAIN
	})
	if err != nil { // its own closed error is not os.ErrClosed
		return -1, from, fmt.Errorf("accept on vsock port %d: %w", l.port, os.ErrClosed)
	}
	return fd, from, errno
}

func isErrno(err error) bool {
	_, ok := err.(unix.Errno)
	return ok
}

// Addr returns the port it listens on.
func (l *Listener) Addr() net.Addr { return Addr{unix.VMADDR_CID_ANY, l.port} }

// Close ends Accept.
func (l *Listener) Close() error { return l.file.Close() }
