package forward

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// host connects to what Serve listens on.
type host struct {
	t    *testing.T
	path string
}

func serve(t *testing.T) host {
	t.Helper()
	h := host{t, filepath.Join(t.TempDir(), "forward")}
	l, err := net.Listen("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go Serve(l, new(streams.Buffers))
	return h
}

func (h host) connect(header string) *net.UnixConn {
	h.t.Helper()
	c, err := net.Dial("unix", h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, header); err != nil {
		h.t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// forward connects to a port.
func (h host) forward(port int) *net.UnixConn {
	h.t.Helper()
	c := h.connect(fmt.Sprintf("bulkhead-forward/1 %d\n", port))
	ok := make([]byte, 3)
	if _, err := io.ReadFull(c, ok); err != nil || string(ok) != "OK\n" {
		h.t.Fatalf("answer is %q, %v", ok, err)
	}
	return c
}

// refused returns the reason.
func (h host) refused(c net.Conn) string {
	h.t.Helper()
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil || line == "OK\n" {
		h.t.Errorf("answer is %q, %v", line, err)
	}
	if b, _ := io.ReadAll(r); len(b) > 0 {
		h.t.Errorf("behind the answer comes %q", b)
	}
	return line
}

// listen has do serve one connection to a port of the loopback.
func listen(t *testing.T, address string, do func(*net.TCPConn)) int {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); do(c.(*net.TCPConn)) }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

func TestForward(t *testing.T) {
	h := serve(t)
	want := strings.Repeat("0123456789abcdef", 40<<10)
	for _, address := range []string{"127.0.0.1", "[::1]"} {
		t.Run(address, func(t *testing.T) {
			c := h.forward(listen(t, address, echo))
			go func() {
				io.WriteString(c, want)
				c.CloseWrite()
			}()
			if got, err := io.ReadAll(c); err != nil || string(got) != want {
				t.Errorf("%d bytes came back, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

// TestPortEndsFirst has the port's owner send everything before it listens.
func TestPortEndsFirst(t *testing.T) {
	h := serve(t)
	heard := make(chan string, 1)
	c := h.forward(listen(t, "127.0.0.1", func(c *net.TCPConn) {
		io.WriteString(c, "welcome")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	}))
	if b, err := io.ReadAll(c); err != nil || string(b) != "welcome" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := io.WriteString(c, "thanks"); err != nil {
		t.Error(err)
	}
	c.CloseWrite()
	if got := <-heard; got != "thanks" {
		t.Errorf("the port's owner heard %q", got)
	}
}

// TestHostLeaves has an owner that says nothing, and would wait for ever.
func TestHostLeaves(t *testing.T) {
	h := serve(t)
	for _, half := range []bool{false, true} {
		ended := make(chan struct{})
		c := h.forward(listen(t, "127.0.0.1", func(c *net.TCPConn) {
			defer close(ended)
			io.Copy(io.Discard, c)
			for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
				_, err = c.Write([]byte("x"))
			}
		}))
		if half {
			c.CloseWrite()
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Errorf("after a half-close: %v", err)
			}
		}
		c.Close()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the port's owner still has a connection")
		}
	}
}

// TestSilentOwnerIsLeft has the host leave an owner that never writes.
func TestSilentOwnerIsLeft(t *testing.T) {
	ended := make(chan error, 1)
	h := serve(t)
	c := h.forward(listen(t, "127.0.0.1", func(c *net.TCPConn) {
		io.Copy(io.Discard, c) // until the host has sent everything
		time.Sleep(50 * time.Millisecond)
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		var err error
		for range 100 { // the first only brings the answer that nobody is there
			if _, err = c.Write([]byte("x")); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		ended <- err
	}))
	c.CloseWrite()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	if err := <-ended; err == nil {
		t.Error("the forwarded connection outlives the host's")
	}
}

func TestRefused(t *testing.T) {
	h := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	reason := h.refused(h.connect(fmt.Sprintf("bulkhead-forward/1 %d\n", port)))
	if !strings.Contains(reason, strconv.Itoa(port)) || !strings.Contains(reason, "refused") {
		t.Errorf("the reason is %q", reason)
	}
	for _, header := range []string{"GET / HTTP/1.1\r\n", "bulkhead-forward/1 0\n", strings.Repeat("x", headerLimit)} {
		h.refused(h.connect(header))
	}
	half := h.connect("bulkhead-forward/1 80")
	half.CloseWrite()
	h.refused(half)
}

func TestAtMost(t *testing.T) {
	h := serve(t)
	port := listen(t, "127.0.0.1", echo)
	var open []net.Conn
	for range maxForwards {
		open = append(open, h.forward(port))
	}
	if reason := h.refused(h.connect("")); !strings.Contains(reason, "256") {
		t.Errorf("the reason is %q", reason)
	}
	open[7].Close()
	for range 1000 { // until its place is free
		c := h.connect("")
		fmt.Fprintf(c, "bulkhead-forward/1 %d\n", port) // or it is refused before
		if line, _ := bufio.NewReader(c).ReadString('\n'); line == "OK\n" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("no place was free after an end")
}
