package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// host is the host's side of a hub.
type host struct {
	*streams.Hub
	t    testing.TB
	path string
}

func serve(t testing.TB) host {
	h := host{streams.NewHub(), t, filepath.Join(t.TempDir(), "stdio")}
	l, err := net.Listen("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go h.Serve(l)
	return h
}

func (h host) stream(id, name string) *net.UnixConn {
	h.t.Helper()
	c, err := net.Dial("unix", h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "bulkhead-stdio/1 %s %s\n", id, name); err != nil {
		h.t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// closed waits until the agent has closed c.
func closed(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
		t.Errorf("the connection isn't closed: %q, %v", b, err)
	}
}

// plumbing is an IO, its host's connections, and the ends a process has.
type plumbing struct {
	*IO
	hub           host
	host, hostErr *net.UnixConn
	proc          [3]*os.File
}

func open(t testing.TB, r Request) *plumbing {
	t.Helper()
	h := serve(t)
	r.ID = "p"
	p := &plumbing{hub: h, host: h.stream("p", streams.Stdio)}
	if r.Terminal == nil {
		p.hostErr = h.stream("p", streams.Stderr)
	}
	var err error
	if p.IO, err = Open(t.Context(), h.Hub, r); err != nil {
		t.Fatal(err)
	}
	for i, fd := range p.Files() { // as a fork does
		n, err := unix.Dup(int(fd))
		if err != nil {
			t.Fatal(err)
		}
		p.proc[i] = os.NewFile(uintptr(n), fmt.Sprint("stream ", i))
	}
	p.Start()
	t.Cleanup(func() {
		p.hangUp()
		p.exit()
	})
	return p
}

// hangUp closes the host's connections.
func (p *plumbing) hangUp() {
	p.host.Close()
	if p.hostErr != nil {
		p.hostErr.Close()
	}
}

// exit closes the process's ends.
func (p *plumbing) exit() {
	for _, f := range p.proc {
		f.Close()
	}
}

func (p *plumbing) waitDone(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		t.Error("the streams aren't done")
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	if c, ok := r.(net.Conn); ok {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got[:n], err, want)
	}
}

func expectEOF(t *testing.T, r io.Reader) {
	t.Helper()
	if c, ok := r.(net.Conn); ok {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, %v; want end of file", n, err)
	}
}

func send(t *testing.T, w io.Writer, what string) {
	t.Helper()
	if _, err := io.WriteString(w, what); err != nil {
		t.Error(err)
	}
}

func TestPipes(t *testing.T) {
	p := open(t, Request{Stdin: true})
	send(t, p.host, "in")
	expect(t, p.proc[0], "in")
	p.host.CloseWrite()
	expectEOF(t, p.proc[0])
	send(t, p.proc[1], "out")
	send(t, p.proc[2], "err")
	expect(t, p.host, "out")
	expect(t, p.hostErr, "err")
	p.exit()
	p.End()
	expectEOF(t, p.host)
	expectEOF(t, p.hostErr)
	p.hostErr.Close()
	p.waitDone(t)
}

func TestNoStdinIsDevNull(t *testing.T) {
	p := open(t, Request{})
	expectEOF(t, p.proc[0])
	if err := p.Resize(Size{1, 1}); fail.KindOf(err) != fail.Untimely {
		t.Errorf("Resize = %v", err)
	}
}

// TestOutputBeforeExitIsDelivered has a child keep the pipe open and go on
// writing, and a host that reads only later.
func TestOutputBeforeExitIsDelivered(t *testing.T) {
	p := open(t, Request{})
	want := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // 640 KiB
	written := make(chan error, 1)
	go func() {
		_, err := p.proc[1].Write(want)
		written <- err
	}()
	got := make([]byte, 0, len(want))
	buf := make([]byte, 32<<10)
	for len(got) < len(want)-64<<10 {
		n, err := p.host.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	p.End() // proc[1] stays open
	rest, err := io.ReadAll(p.host)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came, %v; want %d", len(got), err, len(want))
	}
	if _, err := p.proc[1].Write(want); !errors.Is(err, unix.EPIPE) {
		t.Errorf("the child's write after the end: %v, want EPIPE", err)
	}
}

func TestClosedStdinDoesNotHoldUpTheHost(t *testing.T) {
	p := open(t, Request{Stdin: true})
	p.proc[0].Close()
	_ = p.host.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if _, err := p.host.Write(make([]byte, 4<<20)); err != nil {
		t.Errorf("write to a process that doesn't read: %v", err)
	}
	send(t, p.proc[1], "still here")
	expect(t, p.host, "still here")
}

func TestHostGoneBreaksThePipe(t *testing.T) {
	p := open(t, Request{Stdin: true})
	p.host.Close()
	expectEOF(t, p.proc[0])
	var err error
	for range 1000 {
		if _, err = p.proc[1].Write([]byte("x")); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if !errors.Is(err, unix.EPIPE) {
		t.Errorf("write to nobody: %v, want EPIPE", err)
	}
	send(t, p.proc[2], "e")
	expect(t, p.hostErr, "e")
	p.hostErr.Close()
	p.End()
	p.waitDone(t)
}

func TestEndWithFullStdin(t *testing.T) {
	p := open(t, Request{Stdin: true})
	go p.host.Write(make([]byte, 1<<20)) // more than the pipe holds; nobody reads
	time.Sleep(10 * time.Millisecond)
	p.End()
	expectEOF(t, p.host)
	p.host.Close()
	p.hostErr.Close()
	p.waitDone(t)
}

func TestOpenFailsWithoutConnections(t *testing.T) {
	h := serve(t)
	ctx, cancel := contextWithin(t, 20*time.Millisecond)
	defer cancel()
	c := h.stream("p", streams.Stdio) // and no stderr
	if _, err := Open(ctx, h.Hub, Request{ID: "p"}); fail.KindOf(err) != fail.Late {
		t.Errorf("Open = %v", err)
	}
	closed(t, c)
	if _, err := Open(ctx, h.Hub, Request{ID: "p", Terminal: &Size{1 << 16, 1}}); fail.KindOf(err) != fail.Invalid {
		t.Errorf("Open = %v", err)
	}
}

func TestPipesBelongToOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	p := open(t, Request{Stdin: true, Owner: 1234})
	for _, f := range p.proc {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Uid != 1234 {
			t.Errorf("%s belongs to %d, %v", f.Name(), st.Uid, err)
		}
	}
}
