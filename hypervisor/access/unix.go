package access

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// peerCredentials knows clients of a unix socket by their user and group IDs.
type peerCredentials struct{ rules *Rules }

// NewPeerCredentials returns credentials for servers on unix sockets: clients are
// the users that the kernel says they are, with the groups that their process had
// when it connected. What the rules refuse is connected all the same, to be told
// why.
func NewPeerCredentials(r *Rules) credentials.TransportCredentials { return &peerCredentials{r} }

// ServerHandshake implements credentials.TransportCredentials.
func (c *peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return nil, nil, errors.New("who connects: the connection isn't the system's")
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var cred *unix.Ucred
	var groups []uint32
	var failed error
	err = raw.Control(func(fd uintptr) {
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed == nil {
			groups, failed = peerGroups(int(fd))
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, nil, fmt.Errorf("who connects: %w", err)
	}
	groups = append(groups, cred.Gid)
	return conn, connection{func() Client { return c.rules.ofUser(cred.Uid, groups) }}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (c *peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for servers")
}

// Info implements credentials.TransportCredentials.
func (c *peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}

// Clone implements credentials.TransportCredentials.
func (c *peerCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (c *peerCredentials) OverrideServerName(string) error { return nil }
