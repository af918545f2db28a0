package process

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// TestMain has orphans come to this process, as they come to the first of a
// machine. Tests here start nothing but through the one Table.
func TestMain(m *testing.M) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	// What whoever runs the tests left open is not the agent's leak.
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// guest is a table and the host's side of it.
type guest struct {
	*Table
	path string
	mu   sync.Mutex
	next int
}

// theGuest returns the one table there may be in a process.
var theGuest = sync.OnceValue(func() *guest {
	hub := streams.NewHub()
	g := &guest{Table: NewTable(hub, Anywhere), path: fmt.Sprintf("@bulkhead-process-test-%d", os.Getpid())}
	l, err := net.Listen("unix", g.path)
	if err != nil {
		panic(err)
	}
	go hub.Serve(l)
	return g
})

func (g *guest) newID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	return fmt.Sprintf("p%d", g.next)
}

func (g *guest) connect(t testing.TB, id, name string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", g.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "bulkhead-stdio/1 "+id+" "+name+"\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.UnixConn)
}

// running is a started process and its streams.
type running struct {
	id       string
	pid      int
	out, err *net.UnixConn
}

func (g *guest) start(t testing.TB, s Spec) (*running, error) {
	t.Helper()
	s.ID = g.newID()
	r := &running{id: s.ID, out: g.connect(t, s.ID, "stdio")}
	if s.Terminal == nil {
		r.err = g.connect(t, s.ID, "stderr")
	}
	var err error
	r.pid, err = g.Start(t.Context(), s)
	return r, err
}

func (g *guest) mustStart(t testing.TB, s Spec) *running {
	t.Helper()
	r, err := g.start(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a process to its end and returns what it wrote.
func (g *guest) run(t testing.TB, s Spec) (out, errs string, st Status) {
	t.Helper()
	r := g.mustStart(t, s)
	return r.read(t, r.out), r.read(t, r.err), g.wait(t, r)
}

// read reads to the end and closes.
func (r *running) read(t testing.TB, c *net.UnixConn) string {
	t.Helper()
	if c == nil {
		return ""
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("after %q: %v", b, err)
	}
	c.Close()
	return string(b)
}

func (g *guest) wait(t testing.TB, r *running) Status {
	t.Helper()
	st, err := g.Wait(t.Context(), r.id)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func sh(script string) Spec { return Spec{Args: []string{"sh", "-c", script}} }

// gone waits until a process is neither running nor a zombie.
func gone(t testing.TB, pid int) {
	t.Helper()
	for range 5000 {
		if unix.Kill(pid, 0) == unix.ESRCH {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	t.Errorf("process %d is still there:\n%s", pid, b)
}

func lines(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") }
