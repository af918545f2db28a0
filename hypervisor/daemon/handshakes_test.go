package daemon

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/bulkhead-vm/bulkhead/hypervisor/metrics"
)

// accepting returns a listener on TCP, and what dials it and accepts there.
func accepting(t *testing.T, limit time.Duration) (*handshakeListener, func() (client, server net.Conn)) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := boundHandshakes(inner).(*handshakeListener)
	l.time = limit
	t.Cleanup(func() { l.Close() })
	return l, func() (net.Conn, net.Conn) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	}
}

// closed reports whether the other side has closed a connection within a time.
func closed(c net.Conn, within time.Duration) bool {
	c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestSilentConnections: those that say nothing give way to others, and those that
// have said who they are to nobody.
func TestSilentConnections(t *testing.T) {
	l, dial := accepting(t, time.Hour)
	good, server := dial()
	server.(*handshakeConn).known()
	first, _ := dial()
	for range handshakesOfOne {
		dial()
	}
	if !closed(first, 10*time.Second) {
		t.Error("the oldest of too many silent ones stays")
	}
	if closed(good, 50*time.Millisecond) {
		t.Error("a client that is known was thrown out")
	}
	if n := l.all.Len(); n != handshakesOfOne {
		t.Errorf("%d are silent", n)
	}
}

func TestSilentConnectionsEnd(t *testing.T) {
	l, dial := accepting(t, 50*time.Millisecond)
	client, _ := dial()
	if !closed(client, 10*time.Second) {
		t.Error("a client that says nothing stays")
	}
	if len(l.of) != 0 {
		t.Errorf("%d addresses are kept", len(l.of))
	}
}

func TestSeats(t *testing.T) {
	s := newSeats(4)
	take := func(name string, want bool) {
		t.Helper()
		if err := s.take(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, ok := range []bool{true, true, false} {
		take("greedy", ok)
	}
	take("a", true)
	take("b", true)
	take("c", false)
	for range 4 {
		take(s.own, true)
	}
	take(s.own, false)
	s.leave("a")
	take("c", true)
	for _, name := range []string{"greedy", "greedy", "b", "c", s.own, s.own, s.own, s.own} {
		s.leave(name)
	}
	if len(s.of) != 0 || s.others != 0 {
		t.Errorf("when all have left: %v, %d", s.of, s.others)
	}
}

// TestSeatsOfConnections: a connection that ends leaves its seat to one that waits.
func TestSeatsOfConnections(t *testing.T) {
	d := &daemon{arrivals: newArrivals(), config: Default(), log: zap.NewNop(), metrics: metrics.New(), health: newHealth()}
	d.config.Limits.Connections = 1
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	s := d.newServer(insecure.NewCredentials())
	go s.Serve(boundHandshakes(l))
	defer s.Stop()
	for range 3 {
		conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
			t.Error(err)
		}
		second, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(second, http2.ClientPreface)
		second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := second.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a second connection of one client: %v", err)
		}
		conn.Close()
		second.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := second.Read(make([]byte, 1)); err != nil {
			t.Errorf("when there is room: %v", err)
		}
		second.Close()
	}
}
