package stdio

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// host is the host's side of a hub.
type host struct {
	*Hub
	t    testing.TB
	path string
}

func serve(t testing.TB) host {
	h := host{NewHub(), t, filepath.Join(t.TempDir(), "stdio")}
	l, err := net.Listen("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go h.Serve(l)
	return h
}

func (h host) connect(header string) *net.UnixConn {
	h.t.Helper()
	c, err := net.Dial("unix", h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if header != "" {
		if _, err := c.Write([]byte(header)); err != nil {
			h.t.Fatal(err)
		}
	}
	return c.(*net.UnixConn)
}

func (h host) stream(id, name string) *net.UnixConn {
	h.t.Helper()
	return h.connect(headerMagic + " " + id + " " + name + "\n")
}

// closed waits until the agent has closed c.
func closed(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
		t.Errorf("the connection isn't closed: %q, %v", b, err)
	}
}

func TestParseHeader(t *testing.T) {
	tests := []struct {
		line string
		ok   bool
	}{
		{"bulkhead-stdio/1 a stdio", true},
		{"bulkhead-stdio/1 A-z_0.9 stderr", true},
		{"bulkhead-stdio/1 " + strings.Repeat("x", 64) + " stdio", true},
		{"bulkhead-stdio/1 " + strings.Repeat("x", 65) + " stdio", false},
		{"bulkhead-stdio/1 a stdout", false},
		{"bulkhead-stdio/2 a stdio", false},
		{"bulkhead-stdio/1  stdio", false},
		{"bulkhead-stdio/1 a/b stdio", false},
		{"bulkhead-stdio/1 a stdio ", false},
		{"bulkhead-stdio/1 a stdio\r", false},
		{"", false},
	}
	for _, tt := range tests {
		if _, err := parseHeader(tt.line); (err == nil) != tt.ok {
			t.Errorf("parseHeader(%q): %v", tt.line, err)
		}
	}
}

func TestWrongHeadersAreClosed(t *testing.T) {
	h := serve(t)
	closed(t, h.connect("GET / HTTP/1.1\n"))
	closed(t, h.connect(strings.Repeat("x", headerLimit)))
	half := h.connect(headerMagic)
	half.CloseWrite()
	closed(t, half)
}

func TestHeaderDeadline(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "l"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := readHeader(c.(*net.UnixConn), time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection: %v", err)
	}
}

func TestHeaderInPieces(t *testing.T) {
	h := serve(t)
	c := h.connect("bulkhead-st")
	for _, piece := range []string{"dio/1 ", "p1 stdio", "\nhel", "lo"} {
		time.Sleep(time.Millisecond)
		if _, err := c.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := h.take(t.Context(), key{"p1", streamStdio})
	if err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	if b, err := io.ReadAll(s); err != nil || string(b) != "hello" {
		t.Errorf("behind the header: %q, %v", b, err)
	}
}

func TestTakeBeforeAndAfterConnect(t *testing.T) {
	h := serve(t)
	time.AfterFunc(5*time.Millisecond, func() { h.stream("late", streamStdio) })
	if _, err := h.take(t.Context(), key{"late", streamStdio}); err != nil {
		t.Error(err)
	}
	h.stream("early", streamStdio)
	h.settle(1)
	if _, err := h.take(t.Context(), key{"early", streamStdio}); err != nil {
		t.Error(err)
	}
	h.settle(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := h.take(ctx, key{"never", streamStdio}); fail.KindOf(err) != fail.Late {
		t.Errorf("take of nothing: %v", err)
	}
	if len(h.places) != 0 {
		t.Errorf("%d places are left", len(h.places))
	}
}

// settle waits until n connections have no process and all have a place.
func (h host) settle(n int) {
	h.t.Helper()
	for range 2000 {
		h.mu.Lock()
		ok := h.loose == n && len(h.places) == n
		h.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(time.Millisecond)
	}
	h.t.Fatalf("%d loose connections, %d places; want %d", h.loose, len(h.places), n)
}

func TestNewestConnectionWins(t *testing.T) {
	h := serve(t)
	old := h.stream("p", streamStdio)
	h.settle(1)
	fresh := h.stream("p", streamStdio)
	closed(t, old)
	s, err := h.take(t.Context(), key{"p", streamStdio})
	if err != nil {
		t.Fatal(err)
	}
	fresh.Write([]byte("x"))
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestDropAndLimit(t *testing.T) {
	h := serve(t)
	a, b := h.stream("p", streamStdio), h.stream("p", streamStderr)
	h.settle(2)
	h.Drop("p")
	closed(t, a)
	closed(t, b)
	h.settle(0)
	h.mu.Lock()
	h.loose = maxLoose
	h.mu.Unlock()
	closed(t, h.connect(""))
}
