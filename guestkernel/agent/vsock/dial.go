package vsock

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Dial connects to a port of the machine with the address cid. The kernel
// gives up after two seconds; ctx may end it earlier.
func Dial(ctx context.Context, cid, port uint32) (*Conn, error) {
	fd, err := socket()
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port})
	c := newConn(fd, Addr{CID: unix.VMADDR_CID_ANY}, Addr{cid, port})
	if errors.Is(err, unix.EINPROGRESS) {
		err = c.connected(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect to vsock %v: %w", c.remote, err)
	}
	return c, nil
}

// connected waits for the end of a connect in progress.
func (c *Conn) connected(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) (done bool) {
		done, result = connectResult(int(fd))
		return done
	})
	if err != nil { // closed above
		return context.Cause(ctx)
	}
	return result
}

func connectResult(fd int) (done bool, err error) {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return true, err
	}
	if n != 0 {
		return true, unix.Errno(n)
	}
	_, err = unix.Getpeername(fd)
	return err == nil, nil // without a peer it is still on its way
}
