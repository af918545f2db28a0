package streams

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

func TestWrongHeadersAreClosed(t *testing.T) {
	h := serve(t)
	closed(t, h.connect("GET / HTTP/1.1\n"))
	closed(t, h.connect(strings.Repeat("x", headerLimit)))
	half := h.connect(headerMagic)
	half.CloseWrite()
	closed(t, half)
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
	s, err := h.take(t.Context(), key{"p1", Stdio})
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
	time.AfterFunc(5*time.Millisecond, func() { h.stream("late", Stdio) })
	if _, err := h.take(t.Context(), key{"late", Stdio}); err != nil {
		t.Error(err)
	}
	h.stream("early", Stdio)
	h.settle(1)
	if _, err := h.take(t.Context(), key{"early", Stdio}); err != nil {
		t.Error(err)
	}
	h.settle(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := h.take(ctx, key{"never", Stdio}); fail.KindOf(err) != fail.Late {
		t.Errorf("take of nothing: %v", err)
	}
	if len(h.places) != 0 {
		t.Errorf("%d places are left", len(h.places))
	}
}

func TestTakeIsAllOrNothing(t *testing.T) {
	h := serve(t)
	c := h.stream("p", Stdio) // and no stderr
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := h.Take(ctx, "p", Stdio, Stderr); fail.KindOf(err) != fail.Late {
		t.Errorf("Take = %v", err)
	}
	closed(t, c)
}

func TestOneTakerAtATime(t *testing.T) {
	h := serve(t)
	took := make(chan error, 1)
	go func() {
		_, err := h.Take(t.Context(), "p", File)
		took <- err
	}()
	h.settlePlaces(1)
	if _, err := h.Take(t.Context(), "p", File); fail.KindOf(err) != fail.Exists {
		t.Errorf("a second taker: %v", err)
	}
	h.Drop("p", File) // not what somebody waits for
	h.stream("p", File)
	if err := <-took; err != nil {
		t.Error(err)
	}
}

// settlePlaces waits for n places.
func (h host) settlePlaces(n int) {
	h.t.Helper()
	for range 2000 {
		h.mu.Lock()
		now := len(h.places)
		h.mu.Unlock()
		if now == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	h.t.Fatalf("not %d places", n)
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
	old := h.stream("p", Stdio)
	h.settle(1)
	fresh := h.stream("p", Stdio)
	closed(t, old)
	s, err := h.take(t.Context(), key{"p", Stdio})
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
	a, b := h.stream("p", Stdio), h.stream("p", Stderr)
	h.settle(2)
	h.Drop("p", Stdio, Stderr)
	closed(t, a)
	closed(t, b)
	h.settle(0)
	h.mu.Lock()
	h.loose = maxLoose
	h.mu.Unlock()
	closed(t, h.connect(""))
}
