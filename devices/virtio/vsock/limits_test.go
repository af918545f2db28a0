package vsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConnsWithin(t *testing.T) {
	for files, want := range map[uint64]int{0: 0, 319: 0, 320: 64, 1024: 768, 4352: 4096, 1 << 40: 4096} {
		got, err := connsWithin(files)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%d files: %d connections, %v; want %d", files, got, err, want)
		}
	}
}

// TestConnectionLimit has both sides make more connections than there may be:
// the guest is refused, host processes wait until there is room, and the
// operator hears of it once.
func TestConnectionLimit(t *testing.T) {
	const limit = 4
	warnings := make(chan error, 10)
	g := newGuestWith(t, func(d *Device) {
		d.limit, d.warn = limit+spareConns, func(err error) { warnings <- err }
	})
	l := g.listenHost(9)
	var first header
	for i := range uint32(limit) {
		_, h := g.dialGuest(l, 100+i, 9)
		if i == 0 {
			first = h
		}
	}
	g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
	g.expect(opReset)
	g.connect(g.path, "CONNECT 7\n")
	g.sync(func(h header) { t.Errorf("the device sent %+v", h) })
	g.send(first.with(opReset), "")
	if h, _ := g.expect(opRequest); h.dstPort != 7 {
		t.Errorf("request for port %d", h.dstPort)
	}
	if len(warnings) != 1 {
		t.Errorf("%d warnings, want one", len(warnings))
	} else if err := <-warnings; !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("warning: %v", err)
	}
	g.noFailures()
}

// TestSilentPeers has every wait for the other side end.
func TestSilentPeers(t *testing.T) {
	short := func(d *Device) { d.linger = 50 * time.Millisecond }
	ends := func(t *testing.T, c *net.UnixConn) {
		t.Helper()
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("host process: %v, want the end", err)
		}
	}
	t.Run("host process names no port", func(t *testing.T) {
		g := newGuestWith(t, short)
		ends(t, g.connect(g.path, "CONNECT 1"))
	})
	t.Run("guest doesn't answer a request", func(t *testing.T) {
		g := newGuestWith(t, short)
		c := g.connect(g.path, "CONNECT 1\n")
		g.expect(opRequest)
		g.expect(opReset)
		ends(t, c)
	})
	t.Run("guest doesn't answer a shutdown", func(t *testing.T) {
		g := newGuestWith(t, short)
		c, _, _ := g.dialHost(1)
		c.Close()
		for h, _ := g.receive(); h.op != opReset; h, _ = g.receive() {
			if h.op != opShutdown {
				t.Fatalf("the device sent %+v", h)
			}
		}
	})
}

// fullListener is a host process that is too busy to accept, with its backlog
// full.
func (g *guest) fullListener(port uint32) (accept func()) {
	g.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { unix.Close(fd) })
	path := fmt.Sprintf("%s_%d", g.path, port)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		g.t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		g.t.Fatal(err)
	}
	g.connect(path, "")
	return func() {
		c, _, err := unix.Accept(fd)
		if err != nil {
			g.t.Error(err)
		}
		unix.Close(c)
	}
}

// TestBusyHostProcess has a connection wait for room in a backlog, while others
// go on.
func TestBusyHostProcess(t *testing.T) {
	t.Run("accepts later", func(t *testing.T) {
		g := newGuest(t)
		accept := g.fullListener(9)
		g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
		g.dialHost(2)
		accept()
		if h, _ := g.expect(opResponse); h.dstPort != 1 {
			t.Errorf("response to port %d", h.dstPort)
		}
	})
	t.Run("never accepts", func(t *testing.T) {
		g := newGuest(t)
		g.fullListener(9)
		g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
		g.expect(opReset)
		g.noFailures()
	})
	t.Run("guest gives up", func(t *testing.T) {
		g := newGuest(t)
		g.fullListener(9)
		before := openFiles(t)
		g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
		g.send(header{srcPort: 1, dstPort: 9, op: opReset}, "")
		if n := openFiles(t); n != before {
			t.Errorf("%d files open, %d before", n, before)
		}
	})
	t.Run("guest asks twice", func(t *testing.T) {
		g := newGuest(t)
		g.fullListener(9)
		g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
		g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
		g.expect(opReset)
		g.sync(func(h header) { t.Errorf("the device sent %+v", h) })
	})
}

// TestOutOfDescriptors has the host run out of them: the guest is refused, a
// host process waits, and what is there goes on.
func TestOutOfDescriptors(t *testing.T) {
	warnings := make(chan error, 10)
	g := newGuestWith(t, func(d *Device) { d.warn = func(err error) { warnings <- err } })
	g.listenHost(9)
	_, r, h := g.dialHost(1)
	late, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(late)
	restore := exhaust(t)
	defer restore()
	g.send(header{srcPort: 1, dstPort: 9, op: opRequest}, "")
	g.expect(opReset)
	if err := unix.Connect(late, &unix.SockaddrUnix{Name: g.path}); err != nil {
		t.Fatal(err)
	}
	unix.Write(late, []byte("CONNECT 7\n"))
	g.send(reply(h, opData), "x")
	if b, err := r.ReadByte(); b != 'x' || err != nil {
		t.Errorf("host process got %q, %v", b, err)
	}
	restore()
	if h, _ := g.expect(opRequest); h.dstPort != 7 {
		t.Errorf("request for port %d", h.dstPort)
	}
	if err := <-warnings; !strings.Contains(err.Error(), "ulimit -n") || len(warnings) > 0 {
		t.Errorf("warning: %v, and %d more", err, len(warnings))
	}
	g.noFailures()
}

// exhaust leaves this process no descriptor until restore.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	next, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(next)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: uint64(next), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
