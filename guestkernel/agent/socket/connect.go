package socket

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// Connect connects the non-blocking socket fd, which it owns, to an address. It
// waits as long as ctx and the kernel do. The name is for errors.
func Connect(ctx context.Context, fd int, to unix.Sockaddr, name string) (*Conn, error) {
	err := unix.Connect(fd, to)
	c := New(fd, name)
	if errors.Is(err, unix.EINPROGRESS) {
		err = c.connected(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
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
