package record

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
)

// fakeGuest is the socket of a machine's vsock, and a guest that takes whatever
// connects.
type fakeGuest struct {
	path  string
	conns chan guestConn
}

// guestConn is a stream's end in the guest, after its greeting.
type guestConn struct {
	*net.UnixConn
	port     int
	greeting string
}

// newGuest starts a guest that answers so to CONNECT; empty: as it should.
func newGuest(t *testing.T, answer string) *fakeGuest {
	t.Helper()
	if answer == "" {
		answer = "OK 1073741824\n"
	}
	g := &fakeGuest{path: filepath.Join(t.TempDir(), "vsock"), conns: make(chan guestConn, 100)}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: g.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go g.greet(c, answer)
		}
	}()
	return g
}

func (g *fakeGuest) greet(c *net.UnixConn, answer string) {
	conn := guestConn{UnixConn: c}
	line := func() (s string) {
		s, _ = bufio.NewReaderSize(oneByte{c}, 16).ReadString('\n')
		return s
	}
	fmt.Sscanf(line(), "CONNECT %d\n", &conn.port)
	io.WriteString(c, answer)
	conn.greeting = line()
	if conn.greeting != "" {
		g.conns <- conn
	}
}

// oneByte keeps a reader from reading more than it was asked for.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }

func (g *fakeGuest) accept(t *testing.T) guestConn {
	t.Helper()
	select {
	case c := <-g.conns:
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("nobody connects")
		return guestConn{}
	}
}

// config is of a recorder of one stream of g's, labelled out.
func (g *fakeGuest) config(t *testing.T) Config {
	return Config{
		Name:    "it",
		Streams: []Stream{{Socket: g.path, Port: 1025, Greeting: "hello\n", Label: "out"}},
		Log:     logfile.Config{Path: filepath.Join(t.TempDir(), "log")},
	}
}

// start records and returns the guest's ends.
func (g *fakeGuest) start(t *testing.T, s *Set, c Config) (conns []guestConn) {
	t.Helper()
	if err := s.Record(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range c.Streams {
		conns = append(conns, g.accept(t))
	}
	return conns
}

// read returns what is in a recorder's log now.
func (g *fakeGuest) read(t *testing.T, c Config) []byte {
	t.Helper()
	b, err := os.ReadFile(c.Log.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitLog follows a log until its writer's end, and returns what it has.
func waitLog(t *testing.T, path string) (all []string) {
	t.Helper()
	r, err := logfile.NewReader(path, logfile.Options{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		record, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		if record.End() {
			return all
		}
		all = append(all, record.Label+": "+string(record.Data))
	}
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
}

// leaks fails the test if it ends with more goroutines or descriptors than it has
// now.
func leaks(t *testing.T) {
	count := func() (goroutines, files int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(entries)
	}
	goroutines, files := count()
	t.Cleanup(func() {
		var g, f int
		for range 200 {
			if g, f = count(); g <= goroutines && f <= files {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines and %d descriptors are left, of %d and %d", g, f, goroutines, files)
	})
}
