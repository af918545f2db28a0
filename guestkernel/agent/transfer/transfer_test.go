package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/filesystem"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/chunk"
)

// host is the host's side of transfers, and a directory for their files.
type host struct {
	*Transfers
	t    *testing.T
	dir  string
	path string // of the socket
}

func serve(t *testing.T) host {
	hub := streams.NewHub()
	h := host{New(hub), t, t.TempDir(), filepath.Join(t.TempDir(), "stdio")}
	l, err := net.Listen("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go hub.Serve(l)
	return h
}

func (h host) connect(id string) *net.UnixConn {
	h.t.Helper()
	c, err := net.Dial("unix", h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "bulkhead-stdio/1 %s file\n", id); err != nil {
		h.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.UnixConn)
}

// file makes a file of the guest's.
func (h host) file(name string, content []byte) string {
	h.t.Helper()
	p := filepath.Join(h.dir, name)
	if err := os.WriteFile(p, content, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// holds fails unless the file p has this content, and nothing else is there.
func (h host) holds(p, want string) {
	h.t.Helper()
	if b, err := os.ReadFile(p); err != nil || string(b) != want {
		h.t.Errorf("the file holds %q, %v; want %q", b, err, want)
	}
	if left, err := filepath.Glob(h.dir + "/" + filesystem.TempPattern); err != nil || len(left) > 0 {
		h.t.Errorf("%q is left, %v", left, err)
	}
}

func wantKind(t *testing.T, err error, want fail.Kind) {
	t.Helper()
	if err == nil || fail.KindOf(err) != want {
		t.Errorf("error %v of kind %d, want %d", err, fail.KindOf(err), want)
	}
}

// closed waits until the guest has closed c without a file's end.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(chunk.NewReader(c)); !errors.Is(err, chunk.ErrCut) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection isn't cut: %d bytes, %v", len(b), err)
	}
}

func TestRead(t *testing.T) {
	h := serve(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 50<<10) // 800 KiB
	p := h.file("file", content)
	proc, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path           string
		offset, length uint64
		want           []byte
	}{
		{p, 0, 0, content},
		{p, 5, 3, content[5:8]},
		{p, 100, 1 << 63, content[100:]},
		{p, 1 << 30, 0, nil},
		{h.file("empty", nil), 0, 0, nil},
		{"/proc/filesystems", 0, 0, proc},
	}
	for i, tt := range tests {
		id := fmt.Sprint("r", i)
		c := h.connect(id)
		got := make(chan []byte, 1)
		go func() {
			b, err := io.ReadAll(chunk.NewReader(c))
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		n, err := h.Read(t.Context(), id, tt.path, tt.offset, tt.length)
		if b := <-got; err != nil || n != uint64(len(tt.want)) || !bytes.Equal(b, tt.want) {
			t.Errorf("%d bytes came and %d were said, %v; want %d", len(b), n, err, len(tt.want))
		}
	}
}

func TestReadFails(t *testing.T) {
	h := serve(t)
	h.connect("none")
	_, err := h.Read(t.Context(), "none", h.dir+"/none", 0, 0)
	wantKind(t, err, fail.NotFound)
	_, err = h.Read(t.Context(), "dir", h.dir, 0, 0)
	wantKind(t, err, fail.Untimely)
	_, err = h.Read(t.Context(), "a/b", h.dir, 0, 0)
	wantKind(t, err, fail.Invalid)

	p := h.file("large", make([]byte, 8<<20))
	gone := h.connect("gone")
	gone.Close()
	_, err = h.Read(t.Context(), "gone", p, 0, 0)
	wantKind(t, err, fail.Cut)

	// A host that doesn't read, and gives up.
	slow := h.connect("slow")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err = h.Read(ctx, "slow", p, 0, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read = %v", err)
	}
	closed(t, slow)
}

func TestWrite(t *testing.T) {
	h := serve(t)
	content := strings.Repeat("0123456789abcdef", 20<<10)
	c := h.connect("w")
	go chunk.Send(c, strings.NewReader(content), make([]byte, 10000))
	mode := uint32(0o600)
	info, err := h.Write(t.Context(), "w", h.dir+"/a/file", filesystem.Attributes{Mode: &mode}, true)
	if err != nil || info.Name != "file" || info.Size != uint64(len(content)) || info.Mode&0o7777 != 0o600 {
		t.Errorf("Write = %+v, %v", info, err)
	}
	h.holds(h.dir+"/a/file", content)
}

// TestWriteIsAllOrNothing has the host leave, give up, or talk nonsense.
func TestWriteIsAllOrNothing(t *testing.T) {
	h := serve(t)
	p := h.file("file", []byte("old"))
	tests := []struct {
		name string
		send string
		want fail.Kind
	}{
		{"nothing", "", fail.Cut},
		{"half a header", "\x00\x00", fail.Cut},
		{"half a chunk", "\x00\x00\x00\x05ab", fail.Cut},
		{"no end", "\x00\x00\x00\x02ab", fail.Cut},
		{"nonsense", "GET / HTTP/1.1\r\n\r\n", fail.Invalid},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := fmt.Sprint("w", i)
			c := h.connect(id)
			c.Write([]byte(tt.send))
			c.Close()
			_, err := h.Write(t.Context(), id, p, filesystem.Attributes{}, false)
			wantKind(t, err, tt.want)
			h.holds(p, "old")
		})
	}
	c := h.connect("late")
	c.Write([]byte("\x00\x00\x00\x02ab"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := h.Write(ctx, "late", p, filesystem.Attributes{}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write = %v", err)
	}
	closed(t, c)
	if _, err := h.Write(ctx, "never", p, filesystem.Attributes{}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write = %v", err)
	}
	h.holds(p, "old")
	_, err := h.Write(t.Context(), "dir", h.dir, filesystem.Attributes{}, false)
	wantKind(t, err, fail.Untimely)
}

// TestCloseCuts has as many transfers as may be, all stuck.
func TestCloseCuts(t *testing.T) {
	h := serve(t)
	p := h.file("file", []byte("old"))
	done := make(chan error, maxTransfers)
	for i := range maxTransfers {
		id := fmt.Sprint("t", i)
		c := h.connect(id)
		c.Write([]byte("\x00\x00\x00\x02ab"))
		go func() {
			_, err := h.Write(t.Context(), id, p, filesystem.Attributes{}, false)
			closed(t, c)
			done <- err
		}()
	}
	for h.begun() < maxTransfers {
		time.Sleep(time.Millisecond)
	}
	_, err := h.Read(t.Context(), "more", p, 0, 0)
	wantKind(t, err, fail.Exhausted)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
	for range maxTransfers {
		wantKind(t, <-done, fail.Untimely)
	}
	h.holds(p, "old")
	_, err = h.Read(t.Context(), "after", p, 0, 0)
	wantKind(t, err, fail.Untimely)
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

// begun counts the files that hold something of what is sent.
func (h host) begun() (n int) {
	h.t.Helper()
	temps, err := filepath.Glob(h.dir + "/" + filesystem.TempPattern)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range temps {
		if info, err := os.Stat(p); err == nil && info.Size() > 0 {
			n++
		}
	}
	return n
}
