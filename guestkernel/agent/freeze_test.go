package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// bootFreezable is boot and Setup, where there are cgroups.
func bootFreezable(t *testing.T) *machine {
	t.Helper()
	m := boot(t, programs(t, t.TempDir()), "")
	if m.cannotFreeze {
		t.Skip("no cgroup v2")
	}
	_, err := m.Setup(t.Context(), &agentv1.SetupRequest{
		Hostname: "box", Nameservers: []string{"10.0.0.1"},
		Interfaces: []*agentv1.NetworkInterface{{Name: "eth0", Addresses: []string{"10.0.0.2/24"}, Gateways: []string{"10.0.0.1"}, Mac: "02:00:00:00:00:01"}},
	})
	must(t, err)
	return m
}

func (m *machine) freeze() {
	m.t.Helper()
	_, err := m.Freeze(m.t.Context(), &agentv1.FreezeRequest{})
	must(m.t, err)
	m.wantFrozen(true)
}

func (m *machine) thaw() {
	m.t.Helper()
	_, err := m.Thaw(m.t.Context(), &agentv1.ThawRequest{})
	must(m.t, err)
	m.wantFrozen(false)
}

func (m *machine) wantFrozen(want bool) {
	m.t.Helper()
	h, err := m.Health(m.t.Context(), &agentv1.HealthRequest{})
	if err != nil || h.GetFrozen() != want {
		m.t.Errorf("Health = %v, %v; want frozen: %v", h, err, want)
	}
}

// restore is the host of a machine that was restored: the connections of the one
// before are gone.
func (m *machine) restore(r *agentv1.RenewRequest, streams ...net.Conn) {
	m.t.Helper()
	for _, c := range streams {
		c.Close()
	}
	must(m.t, m.control.Close())
	m.call()
	m.wantFrozen(true)
	_, err := m.Renew(m.t.Context(), r)
	must(m.t, err)
	m.wantFrozen(false)
}

// count writes numbers, from children.
const count = "i=0; while :; do i=$((i+1)); (echo $i); sleep 0.002; done"

// counter reads numbers, of which none may lack.
type counter struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	last int
}

func newCounter(t *testing.T, c net.Conn) *counter {
	return &counter{t: t, conn: c, r: bufio.NewReader(c)}
}

// next reads for as long as d and returns how many numbers came.
func (c *counter) next(d time.Duration) (n int) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(d))
	for ; ; n++ {
		line, err := c.r.ReadString('\n')
		if err != nil {
			if line != "" {
				c.t.Errorf("%q is cut off", line)
			}
			return n
		}
		if want := fmt.Sprintf("%d\n", c.last+1); line != want {
			c.t.Errorf("%q came after %d", line, c.last)
		}
		c.last++
	}
}

func (c *counter) await() {
	c.t.Helper()
	for range 100 {
		if c.next(50*time.Millisecond) > 0 {
			return
		}
	}
	c.t.Error("no number comes")
}

func TestFreezeBeforeSetup(t *testing.T) {
	m := boot(t, programs(t, t.TempDir()), "")
	ctx := t.Context()
	_, err := m.Freeze(ctx, &agentv1.FreezeRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = m.Thaw(ctx, &agentv1.ThawRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = m.Renew(ctx, &agentv1.RenewRequest{})
	wantCode(t, err, codes.FailedPrecondition)
}

func TestFreezeAndThaw(t *testing.T) {
	m := bootFreezable(t)
	c := newCounter(t, m.start("counts", count))
	for range 3 {
		c.await()
		for range 2 {
			m.freeze()
		}
		c.next(10 * time.Millisecond) // what is here
		if n := c.next(100 * time.Millisecond); n != 0 {
			t.Errorf("%d numbers come from a frozen process", n)
		}
		for range 2 {
			m.thaw()
		}
	}
	c.await()
	m.powerOff(0)
}

// TestStartWhileFrozen: it waits, for the machine that it was asked of.
func TestStartWhileFrozen(t *testing.T) {
	m := bootFreezable(t)
	m.freeze()
	out := make(chan string, 1)
	go func() { out <- m.run("waits", "echo on") }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Start(ctx, &agentv1.StartRequest{Id: "impatient", Args: []string{"sh"}}); err == nil {
		t.Error("a process was started in a frozen guest")
	}
	select {
	case <-out:
		t.Error("a process was started in a frozen guest")
	default:
	}
	m.thaw()
	if got := <-out; got != "on\n" {
		t.Errorf("it wrote %q", got)
	}

	m.freeze()
	m.connect("old", "stdio")
	m.connect("old", "stderr")
	first := m.AgentService
	started := make(chan error, 1)
	go func() {
		_, err := first.Start(t.Context(), &agentv1.StartRequest{Id: "old", Args: []string{"sh", "-c", ": > /old"}})
		started <- err
	}()
	time.Sleep(20 * time.Millisecond)
	m.restore(&agentv1.RenewRequest{})
	if err := <-started; err == nil {
		t.Error("the first host's process was started")
	}
	if got := m.run("look", "sleep 0.1; [ ! -e /old ] && echo clean"); got != "clean\n" {
		t.Errorf("what the first host asked for was done: %q", got)
	}
}

// TestAnotherDaemon comes to a guest that the one before left frozen.
func TestAnotherDaemon(t *testing.T) {
	m := bootFreezable(t)
	recorded := newCounter(t, m.start("recorded", count))
	tied := m.connect("tied", "stdio")
	m.connect("tied", "stderr")
	_, err := m.Start(t.Context(), &agentv1.StartRequest{Id: "tied", Args: []string{"sleep", "1000"}, Tied: true})
	must(t, err)
	recorded.await()
	m.freeze()
	must(t, tied.Close(), m.control.Close())
	m.call()
	m.wantFrozen(true)
	m.thaw()
	recorded.await()
	w, err := m.Wait(t.Context(), &agentv1.WaitRequest{Id: "tied"})
	if err != nil || w.GetSignal() != 9 {
		t.Errorf("Wait = %v, %v", w, err)
	}
}

// TestDaemonGoesWhileItFreezes has a host that doesn't read, so that it takes a
// while.
func TestDaemonGoesWhileItFreezes(t *testing.T) {
	m := bootFreezable(t)
	m.start("floods", "while :; do echo 0123456789abcdef0123456789abcdef; done")
	time.Sleep(50 * time.Millisecond)
	first := m.AgentService
	froze := make(chan error, 1)
	go func() {
		_, err := first.Freeze(t.Context(), &agentv1.FreezeRequest{})
		froze <- err
	}()
	time.Sleep(100 * time.Millisecond)
	must(t, m.control.Close())
	if err := <-froze; err == nil {
		t.Error("a call over a closed connection was answered")
	}
	m.call()
	m.thaw() // after the other is undone
}

func TestPowerOffWhileFrozen(t *testing.T) {
	m := bootFreezable(t)
	polite := m.start("polite", "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.01; done")
	if _, err := io.ReadFull(polite, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	m.freeze()
	done := make(chan struct{})
	go func() { defer close(done); m.powerOff(10 * time.Second) }()
	if b, err := io.ReadAll(polite); string(b) != "bye\n" {
		t.Errorf("last words %q, %v", b, err)
	}
	polite.Close()
	<-done
}

// TestRestored has every kind of thing under way when the machine is saved.
func TestRestored(t *testing.T) {
	m := bootFreezable(t)
	ctx := t.Context()
	out := m.connect("counts", "stdio")
	errs := m.connect("counts", "stderr")
	_, err := m.Start(ctx, &agentv1.StartRequest{Id: "counts", Args: []string{"sh", "-c", "read line; echo $line >&2; " + count}, Stdin: true, Tied: true})
	must(t, err)
	terminal := m.connect("terminal", "stdio")
	_, err = m.Start(ctx, &agentv1.StartRequest{Id: "terminal", Args: []string{"sh", "-c", "while read line; do echo got $line; done"}, Terminal: &agentv1.TerminalSize{Rows: 24, Columns: 80}, Tied: true})
	must(t, err)
	io.WriteString(out, "go\n")
	if _, err := io.ReadFull(errs, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	c := newCounter(t, out)
	c.await()
	unfinished := m.unfinished("/kept")
	m.run("begun", "while [ ! -s /.bulkhead-*.part ]; do sleep 0.01; done")
	forwarded, line := m.forward(echoPort)
	if line != "OK\n" {
		t.Fatalf("the answer is %q", line)
	}
	waited := make(chan error, 1)
	first := m.AgentService
	go func() {
		_, err := first.Wait(ctx, &agentv1.WaitRequest{Id: "counts"})
		waited <- err
	}()

	m.freeze()
	c.next(20 * time.Millisecond)
	forwarded.Close()
	m.transfer.Close()
	m.restore(&agentv1.RenewRequest{Entropy: make([]byte, 32), Hostname: "clone"}, out, errs, terminal)
	c.conn = m.connect("counts", "stdio")
	c.r = bufio.NewReader(c.conn)
	m.connect("counts", "stderr")
	terminal = m.connect("terminal", "stdio")
	c.await()
	if err := <-waited; err == nil {
		t.Error("the first host's Wait was answered")
	}
	if err := <-unfinished; err == nil {
		t.Error("the first host's file was written")
	}
	io.WriteString(terminal, "this\n")
	r := bufio.NewReader(terminal)
	for _, want := range []string{"this\r\n", "got this\r\n"} {
		if got, err := r.ReadString('\n'); got != want {
			t.Errorf("the terminal says %q, %v; want %q", got, err, want)
		}
	}
	if got := m.run("look", "while [ -e /.bulkhead-*.part ]; do sleep 0.01; done; [ ! -e /kept ] && uname -n"); got != "clone\n" {
		t.Errorf("after the restore: %q", got)
	}
	// Now this one is their host.
	terminal.Close()
	w, err := m.Wait(ctx, &agentv1.WaitRequest{Id: "terminal"})
	if err != nil || w.GetSignal() == 0 { // it is hung up, too
		t.Errorf("Wait = %v, %v", w, err)
	}
	if n := c.next(50 * time.Millisecond); n == 0 {
		t.Error("the other went with it")
	}
	if _, line := m.forward(echoPort); line != "OK\n" {
		t.Errorf("the answer is %q", line)
	}
	if strings.Contains(m.run("procs", "cat /proc/self/cgroup"), "strays") {
		t.Error("a process is in the cgroup for strays")
	}
	m.powerOff(0)
}
