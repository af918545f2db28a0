package vsock

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
)

// Dial connects to a port of the machine with the address cid. The kernel
// gives up after two seconds; ctx may end it earlier.
func Dial(ctx context.Context, cid, port uint32) (*Conn, error) {
	fd, err := newSocket()
	if err != nil {
		return nil, err
	}
	remote := Addr{cid, port}
	c, err := socket.Connect(ctx, fd, &unix.SockaddrVM{CID: cid, Port: port}, name)
	if err != nil {
		return nil, fmt.Errorf("connect to vsock %v: %w", remote, err)
	}
	return &Conn{c, Addr{CID: unix.VMADDR_CID_ANY}, remote}, nil
}
