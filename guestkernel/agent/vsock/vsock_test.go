package vsock

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ports from the range nobody is assigned.
const testPort = 0x7bad0000

func listen(t *testing.T, port, peer uint32) *Listener {
	t.Helper()
	l, err := Listen(port, peer)
	if err != nil {
		t.Skipf("no vsock here: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestCloseEndsAccept(t *testing.T) {
	l := listen(t, testPort, Host)
	time.AfterFunc(time.Millisecond, func() { l.Close() })
	if _, err := l.Accept(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Accept = %v, want os.ErrClosed", err)
	}
}

// needLoopback skips where the local address isn't: packets to it would leave
// the machine.
func needLoopback(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/module/vsock_loopback"); err != nil {
		t.Skip("the kernel has no vsock loopback")
	}
}

func dialLocal(t *testing.T, port uint32) *Conn {
	t.Helper()
	needLoopback(t)
	c, err := Dial(t.Context(), unix.VMADDR_CID_LOCAL, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestHalfClose(t *testing.T) {
	l := listen(t, testPort+1, unix.VMADDR_CID_LOCAL)
	c := dialLocal(t, testPort+1)
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := c.Write([]byte("ahoy")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(s); err != nil || string(b) != "ahoy" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := s.Write([]byte("aye")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if b, err := io.ReadAll(c); err != nil || string(b) != "aye" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestAcceptTurnsOthersAway(t *testing.T) {
	l := listen(t, testPort+2, Host)
	go l.Accept()
	c := dialLocal(t, testPort+2)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v: the connection is served", n, err)
	}
}

func TestDialNobody(t *testing.T) {
	needLoopback(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := Dial(ctx, unix.VMADDR_CID_LOCAL, testPort+3); err == nil {
		c.Close()
		t.Error("connected to a port on which nobody listens")
	}
}
