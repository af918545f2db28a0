// Package socket has connected stream sockets of any family. It parks goroutines,
// not threads, and does without what package net brings along to dial: the agent
// is unpacked at every boot, and a guest takes a second for a MiB of it on some
// hosts.
package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// Conn is a connection. Its methods may be called from any goroutine; Close ends
// those that wait.
type Conn struct {
	*os.File // a non-blocking socket
}

// New returns the connection of the non-blocking socket fd, and owns it. The name
// is for errors.
func New(fd int, name string) *Conn { return &Conn{os.NewFile(uintptr(fd), name)} }

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
