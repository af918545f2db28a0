package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
)

// seats bound the connections of clients, once it is known whose they are: one
// client has half of them at most, and the daemon's own user as many as all others
// together, which nobody takes from it.
type seats struct {
	most int
	own  string // a client's name

	mu     sync.Mutex // the rest; no other lock is taken under it
	of     map[string]int
	others int           // than the daemon's own user's
	freed  chan struct{} // closed when a seat is
}

func newSeats(most int) *seats {
	return &seats{most: most, own: fmt.Sprintf("uid:%d", os.Geteuid()), of: map[string]int{}, freed: make(chan struct{})}
}

func (s *seats) take(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch of := s.of[name]; {
	case name == s.own && of >= s.most, name != s.own && of >= max(1, s.most/2):
		return fmt.Errorf("%s has %d connections, the most that one client may have: use one for many calls", name, of)
	case name != s.own && s.others >= s.most:
		return errors.New("the node has as many connections as limits.connections allows")
	}
	s.of[name]++
	if name != s.own {
		s.others++
	}
	return nil
}

func (s *seats) leave(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[name]--; s.of[name] == 0 {
		delete(s.of, name)
	}
	if name != s.own {
		s.others--
	}
	close(s.freed)
	s.freed = make(chan struct{})
}

// next returns what is closed when a seat is free that isn't now.
func (s *seats) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freed
}

// seatTime is how long a connection waits for a seat.
const seatTime = 10 * time.Second

// take is seats.take with some patience. There are as many places to wait in.
func (c *seatedCredentials) take(name string) error {
	if c.seats.take(name) == nil {
		return nil
	}
	if err := c.waiting.take(name); err != nil {
		return err
	}
	defer c.waiting.leave(name)
	late := time.NewTimer(seatTime)
	defer late.Stop()
	for {
		freed := c.seats.next()
		err := c.seats.take(name)
		if err == nil {
			return nil
		}
		select {
		case <-freed:
		case <-late.C:
			return err
		}
	}
}

// seated returns credentials whose clients need seats.
func (s *seats) seated(c credentials.TransportCredentials) credentials.TransportCredentials {
	return &seatedCredentials{c, s, newSeats(s.most)}
}

type seatedCredentials struct {
	credentials.TransportCredentials
	seats, waiting *seats
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *seatedCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	if l, ok := raw.(*handshakeConn); ok {
		l.known()
	}
	name := access.FromContext(peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info})).Name
	if err := c.take(name); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return &seatedConn{Conn: conn, leave: sync.OnceFunc(func() { c.seats.leave(name) })}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (c *seatedCredentials) Clone() credentials.TransportCredentials { return c }

type seatedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *seatedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
