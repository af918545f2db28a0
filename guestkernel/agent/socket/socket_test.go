package socket

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var loopback = [4]byte{127, 0, 0, 1}

func newSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// listen returns a listening socket and its address.
func listen(t *testing.T, backlog int) (int, unix.Sockaddr) {
	t.Helper()
	fd := newSocket(t)
	t.Cleanup(func() { unix.Close(fd) })
	err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}), unix.Listen(fd, backlog))
	if err != nil {
		t.Fatal(err)
	}
	to, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, to
}

func TestConnect(t *testing.T) {
	l, to := listen(t, 1)
	c, err := Connect(t.Context(), newSocket(t), to, "ours")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fd, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	s := New(fd, "theirs")
	defer s.Close()
	if _, err := c.Write([]byte("ahoy")); err != nil {
		t.Error(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(s); err != nil || string(b) != "ahoy" {
		t.Errorf("read %q, %v", b, err)
	}
	time.AfterFunc(5*time.Millisecond, func() { c.Close() })
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a closed connection", n)
	}
	if err := c.CloseWrite(); err == nil {
		t.Error("a closed connection was half-closed")
	}
}

func TestConnectToNobody(t *testing.T) {
	l, to := listen(t, 1)
	if err := unix.Shutdown(l, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if c, err := Connect(t.Context(), newSocket(t), to, "ours"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("Connect = %v, %v", c, err)
	}
}

// TestContextEndsConnect has a listener with no room for one more.
func TestContextEndsConnect(t *testing.T) {
	_, to := listen(t, 0)
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		c, err := Connect(ctx, newSocket(t), to, "ours")
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	t.Error("ten connections found room")
}
