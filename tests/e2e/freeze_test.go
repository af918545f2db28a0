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

// answers counts on, or says what a file has, when it is asked, and floods doesn't
// wait to be. Neither starts other processes, which takes long where guests' kernels
// are emulated.
const (
	answers = `i=0
while read line; do
	case $line in
	/*) while read content; do echo $content; done < $line ;;
	*) for j in 1 2 3 4 5 6 7 8 9 10; do i=$((i+1)); echo $i; done ;;
	esac
done`
	floods = `i=0; while :; do i=$((i+1)); echo $i; done`
)

// TestFrozenAndRenewed saves a guest with processes under way, by the agent's calls
// alone, and takes another up that goes on from there: with its output neither cut
// off nor doubled, but otherwise as different as machines are.
func TestFrozenAndRenewed(t *testing.T) {
	requireKVM(t)
	r := &recorded{t: t, dir: workDir(t)}
	r.boot()
	a := r.process("answers", answers, false)
	f := r.process("floods", floods, true)
	a.ask("more")
	a.expect(10)
	f.expect(200)
	a.ask("more")
	r.until(a.waiting) // and all of it is in the pipe soon
	time.Sleep(time.Second)
	begin := time.Now()
	if _, err := r.agent.Freeze(t.Context(), &agentv1.FreezeRequest{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("frozen within %v", time.Since(begin))
	dir := filepath.Join(r.dir, "snapshot")
	if _, err := r.worker.Snapshot(t.Context(), &vmmv1.SnapshotRequest{Path: dir}); err != nil {
		t.Fatal(err)
	}
	r.wantFrozen(true)
	a.expect(10)
	begin = time.Now()
	if _, err := r.agent.Thaw(t.Context(), &agentv1.ThawRequest{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("thawed within %v", time.Since(begin))
	r.wantFrozen(false)
	f.expect(500)
	a.ask("more")
	a.expect(10)
	uuid := a.fileLine("/proc/sys/kernel/random/uuid")
	r.powerOff()
	takeUp(t, dir, uuid)
}

// takeUp restores the guest, and looks whether it is as good as the first. The uuid
// is what the first made of its random numbers.
func takeUp(t *testing.T, snapshot, uuid string) {
	t.Helper()
	r := &recorded{t: t, dir: workDir(t)}
	m := r.machine()
	m.Kernel, m.Initrd = "", ""
	r.run(&vmmv1.CreateRequest{Machine: m, Snapshot: snapshot})
	r.connect()
	r.wantFrozen(true)
	a := r.dialProcess("answers")
	entropy := make([]byte, 32)
	rand.Read(entropy)
	const name, id = "clone", "0123456789abcdef0123456789abcdef"
	now := time.Now().Add(1000 * time.Hour)
	begin := time.Now()
	_, err := r.agent.Renew(t.Context(), &agentv1.RenewRequest{
		Entropy: entropy, UnixTimeNs: now.UnixNano(), Hostname: name, MachineId: id, Nameservers: []string{"10.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("renewed within %v", time.Since(begin))
	f := r.dialProcess("floods")
	a.last = 20
	a.ask("more")
	a.expect(10)
	f.resume(200)
	f.expect(500)
	for file, want := range map[string]string{"/proc/sys/kernel/hostname": name, "/etc/machine-id": id, "/etc/resolv.conf": "nameserver 10.0.0.1"} {
		if got := a.fileLine(file); got != want {
			t.Errorf("%s has %q, want %q", file, got, want)
		}
	}
	if got := a.fileLine("/proc/sys/kernel/random/uuid"); len(got) != len(uuid) || got == uuid {
		t.Errorf("the random number is %q", got)
	}
	s, err := r.agent.Stat(t.Context(), &agentv1.StatRequest{Path: "/etc/machine-id"})
	if at := time.Unix(0, s.GetInfo().GetModifyTimeNs()); err != nil || at.Before(now.Add(-time.Second)) || at.After(now.Add(5*time.Minute)) {
		t.Errorf("the time is %v, want %v or soon after, %v", at, now, err)
	}
	// Its host is this one now.
	f.conn.Close()
	w, err := r.agent.Wait(t.Context(), &agentv1.WaitRequest{Id: "floods"})
	if err != nil || w.GetSignal() != int32(unix.SIGKILL) {
		t.Errorf("Wait = %v, %v", w, err)
	}
	r.powerOff()
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

func (c *counting) ask(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
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

// fileLine returns the only line of a file.
func (c *counting) fileLine(path string) string {
	c.t.Helper()
	c.ask(path)
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// resume goes on in the middle of a line, after a number that another has read.
func (c *counting) resume(after int) {
	c.t.Helper()
	_, err := c.r.ReadString('\n')
	line, err2 := c.r.ReadString('\n')
	n, err3 := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || err2 != nil || err3 != nil || n <= after {
		c.t.Fatal(line, err, err2, err3)
	}
	c.last = n
}
