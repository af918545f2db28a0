package daemon

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestReady holds the daemon's state back: it says that it is ready when it serves,
// and not before; and says goodbye.
func TestReady(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	h.must(os.Mkdir(h.path("state"), 0o700))
	f, err := os.Create(h.path("state/state.db"))
	h.must(err)
	defer f.Close()
	h.must(unix.Flock(int(f.Fd()), unix.LOCK_EX))
	d := h.spawn(m.env())
	m.await(0, "STATUS=finding sandboxes again")
	time.Sleep(300 * time.Millisecond)
	if n := m.count("READY=1"); n > 0 {
		t.Error("it is ready without its state")
	}
	f.Close()
	at, ready := m.await(0, "READY=1")
	conn, err := net.Dial("unix", h.socket())
	if err != nil {
		t.Errorf("it is ready and doesn't listen: %v", err)
	} else {
		conn.Close()
	}
	if !ready.has("STATUS=serving; sandboxes: 0, running: 0") {
		t.Errorf("ready: %v", ready)
	}
	if before := m.all()[:at]; slices.ContainsFunc(before, func(m message) bool { return m.has("READY") }) {
		t.Errorf("before that: %v", before)
	}
	c := h.dial()
	_, err = c.ListSandboxes(t.Context(), &bulkheadv1.ListSandboxesRequest{})
	h.must(err)
	d.stop()
	if _, bye := m.await(at, "STOPPING=1"); !bye.has("STATUS=ending") {
		t.Errorf("at its end: %v", bye)
	}
	if last := m.all()[len(m.all())-1]; !last.has("STOPPING=1") {
		t.Errorf("after its end: %v", last)
	}
}

// TestNotReady can't start: nobody hears that it is ready, and the status says why
// it isn't.
func TestNotReady(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	h.must(os.Mkdir(h.path("state"), 0o700))
	h.must(os.WriteFile(h.path("state/state.db"), []byte(strings.Repeat("no state at all ", 4096)), 0o600))
	d := h.spawn(m.env())
	if err := d.cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	_, failed := m.await(0, "STATUS=failed: ")
	if why := *failed.value("STATUS=failed: "); !strings.Contains(why, "state.db") {
		t.Errorf("failed: %s", why)
	}
	if m.count("READY=1") > 0 {
		t.Errorf("it was ready: %v", m.all())
	}
}

// TestStatus counts sandboxes.
func TestStatus(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	d := h.start(m.env())
	at, _ := m.await(0, "READY=1")
	c := h.dial()
	for _, name := range []string{"one", "two"} {
		_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: name})
		h.must(err)
	}
	_, err := c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "two"})
	h.must(err)
	m.await(at, "STATUS=serving; sandboxes: 2, running: 1") // by itself, when it is time
	h.clear(c)
	d.stop()
}

// watched starts a daemon with a watchdog.
func watched(h *host, m *manager, timeout time.Duration) *daemon {
	h.t.Helper()
	d := h.run(exec.Command("sh", "-c", `WATCHDOG_PID=$$ exec "$@"`, "sh", h.daemon, "--config", h.path("config.toml")),
		m.env(), fmt.Sprintf("WATCHDOG_USEC=%d", timeout.Microseconds()))
	m.await(0, "READY=1")
	return d
}

// TestWatchdog is fed more than twice within its time, and not at all while the
// daemon is stuck: here, at a configuration that doesn't end.
func TestWatchdog(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	const timeout = 6 * time.Second // a host may be slow
	d := watched(h, m, timeout)
	_, last := m.await(0, "READY=1")
	for at := range 3 {
		var beat message
		at, beat = m.await(0, "WATCHDOG=1")
		if gap := beat.at.Sub(last.at); gap > timeout/2 {
			t.Errorf("beat %d came after %v, which isn't less than half of %v", at, gap, timeout)
		}
		last = beat
		m.mu.Lock()
		m.heard = m.heard[at+1:]
		m.mu.Unlock()
	}
	good, err := os.ReadFile(h.path("config.toml"))
	h.must(err)
	h.must(os.Remove(h.path("config.toml")))
	h.must(unix.Mkfifo(h.path("config.toml"), 0o600))
	h.must(d.cmd.Process.Signal(syscall.SIGHUP))
	at, _ := m.await(0, "RELOADING=1")
	time.Sleep(timeout / 3) // one may be on its way
	before := m.count("WATCHDOG=1")
	time.Sleep(timeout)
	if n := m.count("WATCHDOG=1") - before; n > 0 {
		t.Errorf("a stuck daemon fed the watchdog, %d times", n)
	}
	h.must(os.WriteFile(h.path("config.toml"), good, 0o600)) // into the pipe
	at, _ = m.await(at, "READY=1")
	m.await(at, "WATCHDOG=1")
	d.stop()
}

// TestOthersWatchdog isn't the daemon's to feed.
func TestOthersWatchdog(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	d := h.start(m.env(), "WATCHDOG_USEC=150000", "WATCHDOG_PID=1")
	time.Sleep(500 * time.Millisecond)
	if m.count("WATCHDOG=1") > 0 {
		t.Error("it fed the watchdog of another process")
	}
	d.stop()
}

// TestWorkersHearNothing: what the service manager gave to the daemon, variables
// and sockets, doesn't come to workers, who outlive it.
func TestWorkersHearNothing(t *testing.T) {
	h := newHost(t, "")
	m := h.newManager()
	var sockets []*os.File
	for i := range 5 { // more than a worker's own descriptors hide
		sockets = append(sockets, h.listen(fmt.Sprintf("passed%d", i)))
	}
	d := h.activated(sockets, "api:api:api:api:metrics", m.env(), "WATCHDOG_USEC=60000000")
	m.await(0, "READY=1")
	c := h.dialTo("passed0")
	_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box"})
	h.must(err)
	_, err = c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "box"})
	h.must(err)
	inodes := map[string]bool{}
	for _, f := range sockets {
		var st unix.Stat_t
		h.must(unix.Fstat(int(f.Fd()), &st))
		inodes[fmt.Sprintf("socket:[%d]", st.Ino)] = true
	}
	workers := h.workers()
	if len(workers) == 0 {
		t.Fatal("there is no worker")
	}
	for _, pid := range workers {
		env, err := os.ReadFile("/proc/" + pid + "/environ")
		h.must(err)
		for v := range strings.SplitSeq(string(env), "\x00") {
			for _, prefix := range []string{"NOTIFY_", "WATCHDOG_", "LISTEN_"} {
				if strings.HasPrefix(v, prefix) {
					t.Errorf("worker %s has %s", pid, v)
				}
			}
		}
		fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
		for _, fd := range fds {
			if target, _ := os.Readlink(fd); inodes[target] {
				t.Errorf("worker %s has a socket of the daemon's, as descriptor %s", pid, filepath.Base(fd))
			}
		}
	}
	h.clear(c)
	d.stop()
}
