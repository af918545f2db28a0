package e2e

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// answers counts on when it is asked, and floods doesn't wait to be.
const (
	answers = `i=0; while read line; do for j in 1 2 3 4 5 6 7 8 9 10; do i=$((i+1)); echo $i; done; done`
	floods  = `i=0; while :; do i=$((i+1)); echo $i; done`
)

// TestFrozenAndRenewed saves a guest with processes under way, by the agent's calls
// alone, and takes two others up that go on from there: with their output neither cut
// off nor doubled, but otherwise as different as machines are.
func TestFrozenAndRenewed(t *testing.T) {
	requireKVM(t)
	r := &recorded{t: t, dir: workDir(t)}
	r.boot()
	a := r.process("answers", answers, false)
	f := r.process("floods", floods, true)
	a.ask()
	a.expect(10)
	f.expect(1000)
	a.ask()
	r.until(func() bool { return a.waiting() }) // the first of them is here, and then the others
	time.Sleep(time.Second)
	begin := time.Now()
	_, err := r.agent.Freeze(t.Context(), &agentv1.FreezeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("frozen within %v", time.Since(begin))
	dir := filepath.Join(r.dir, "snapshot")
	s, err := r.worker.Snapshot(t.Context(), &vmmv1.SnapshotRequest{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pause %v", time.Duration(s.GetPauseNs()))
	r.wantFrozen(true)
	a.expect(10)
	begin = time.Now()
	if _, err := r.agent.Thaw(t.Context(), &agentv1.ThawRequest{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("thawed within %v", time.Since(begin))
	r.wantFrozen(false)
	f.expect(50000)
	a.ask()
	a.expect(10)

	seen := map[string]bool{}
	for i := range 2 {
		r.takeUp(dir, fmt.Sprintf("clone-%d", i), seen)
	}
	r.powerOff()
}

// takeUp restores the guest, and looks whether it is as good as the first.
func (r *recorded) takeUp(snapshot, name string, seen map[string]bool) {
	t := r.t
	t.Helper()
	c := &recorded{t: t, dir: workDir(t)}
	m := c.machine()
	m.Kernel, m.Initrd = "", ""
	c.run(&vmmv1.CreateRequest{Machine: m, Snapshot: snapshot})
	c.connect()
	c.wantFrozen(true)
	a := c.dialProcess("answers")
	entropy := make([]byte, 32)
	rand.Read(entropy)
	id := fmt.Sprintf("%032x", len(seen)+1)
	now := time.Now().Add(1000 * time.Hour)
	begin := time.Now()
	_, err := c.agent.Renew(t.Context(), &agentv1.RenewRequest{
		Entropy: entropy, UnixTimeNs: now.UnixNano(), Hostname: name, MachineId: id, Nameservers: []string{"10.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s renewed within %v", name, time.Since(begin))
	f := c.dialProcess("floods")
	a.last = 20
	for range 2 {
		a.ask()
		a.expect(10)
	}
	f.resume()
	if f.last < 1000 {
		t.Errorf("%s counts from %d", name, f.last)
	}
	f.expect(50000)

	out := c.process("who", `hostname; cat /etc/machine-id /etc/resolv.conf /proc/sys/kernel/random/uuid; date +%s`, false)
	b, err := io.ReadAll(out.r)
	words := strings.Fields(string(b))
	if err != nil || len(words) != 6 || words[0] != name || words[1] != id || words[3] != "10.0.0.1" || seen[words[4]] {
		t.Fatalf("%s is %q, %v", name, b, err)
	}
	seen[words[4]] = true
	if at, err := strconv.ParseInt(words[5], 10, 64); err != nil || at < now.Unix() || at > now.Unix()+300 {
		t.Errorf("%s's time is %s, want %d or soon after", name, words[5], now.Unix())
	}
	// Its host is this one now.
	f.conn.Close()
	w, err := c.agent.Wait(t.Context(), &agentv1.WaitRequest{Id: "floods"})
	if err != nil || w.GetSignal() != int32(unix.SIGKILL) {
		t.Errorf("Wait = %v, %v", w, err)
	}
	c.powerOff()
}

func (r *recorded) wantFrozen(want bool) {
	r.t.Helper()
	h, err := r.agent.Health(r.t.Context(), &agentv1.HealthRequest{})
	if err != nil || h.GetFrozen() != want {
		r.t.Fatalf("%v, %v; want frozen: %v", h, err, want)
	}
}

func (r *recorded) until(is func() bool) {
	r.t.Helper()
	for start := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			r.t.Fatal("it doesn't come")
		}
	}
}

// counting is a process that writes numbers.
type counting struct {
	t    *testing.T
	conn *net.UnixConn
	r    *bufio.Reader
	last int
}

// process starts a script.
func (r *recorded) process(id, script string, tied bool) *counting {
	r.t.Helper()
	p := r.dialProcess(id)
	_, err := r.agent.Start(r.t.Context(), &agentv1.StartRequest{Id: id, Args: []string{"sh", "-c", script}, Stdin: true, Tied: tied})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// dialProcess connects to a process's streams.
func (r *recorded) dialProcess(id string) *counting {
	r.t.Helper()
	dial := func(stream string) *net.UnixConn {
		c, err := net.Dial("unix", r.vsock())
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "CONNECT 1025\n")
		if line, err := bufio.NewReaderSize(oneByte{c}, 16).ReadString('\n'); err != nil {
			r.t.Fatalf("%q, %v", line, err)
		}
		fmt.Fprintf(c, "bulkhead-stdio/1 %s %s\n", id, stream)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Minute))
		return c.(*net.UnixConn)
	}
	dial("stderr")
	c := dial("stdio")
	return &counting{t: r.t, conn: c, r: bufio.NewReader(c)}
}

func (c *counting) ask() {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, "more\n"); err != nil {
		c.t.Fatal(err)
	}
}

// waiting tells whether there is something to read.
func (c *counting) waiting() bool {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n > 0
}

// expect reads the next n numbers.
func (c *counting) expect(n int) {
	c.t.Helper()
	for range n {
		line, err := c.r.ReadString('\n')
		if want := fmt.Sprintf("%d\n", c.last+1); err != nil || line != want {
			c.t.Fatalf("%q came after %d, %v", line, c.last, err)
		}
		c.last++
	}
}

// resume goes on in the middle of a line.
func (c *counting) resume() {
	c.t.Helper()
	_, err := c.r.ReadString('\n')
	line, err2 := c.r.ReadString('\n')
	n, err3 := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || err2 != nil || err3 != nil {
		c.t.Fatal(err, err2, err3)
	}
	c.last = n
}
