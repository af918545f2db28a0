// Package daemon runs bulkheadd as it is installed, with fake workers for most of
// it: killed, overloaded, called by strangers, and by a client that was written
// from its .proto files alone.
package daemon

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// programs are built once for all tests.
type programs struct{ daemon, worker, cli string }

var build = sync.OnceValues(func() (programs, error) {
	dir, err := os.MkdirTemp("", "programs")
	if err != nil {
		return programs{}, err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "../../cmd/bulkheadd", "../fakevmm", "../../cmd/bulkhead")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("%w\n%s", err, out)
	}
	return programs{dir + "/bulkheadd", dir + "/fakevmm", dir + "/bulkhead"}, nil
})

func TestMain(m *testing.M) {
	confined()
	code := m.Run()
	if p, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(p.daemon))
	}
	os.Exit(code)
}

// host is a place for a daemon: directories, and a configuration.
type host struct {
	programs
	t   testing.TB
	dir string
}

// newHost prepares one. extra is more configuration.
func newHost(t testing.TB, extra string) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: fake guests take root")
	}
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "d") // sockets have little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{p, t, dir}
	t.Cleanup(h.sweep)
	h.must(os.Chmod(dir, 0o755))
	for _, sub := range []string{"guest", "images", "sockets"} {
		h.must(os.Mkdir(h.path(sub), 0o755))
	}
	for _, name := range []string{"vmlinux", "initramfs.cpio", "userland.erofs"} {
		h.must(os.WriteFile(h.path("guest/"+name), []byte("fake"), 0o600))
	}
	h.configure(extra)
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// configure writes the configuration, with extra tables.
func (h *host) configure(extra string) {
	h.t.Helper()
	text := strings.ReplaceAll(`
[node]
name = "test"
runtime_dir = "DIR/run"
state_dir = "DIR/state"
cache_dir = "DIR/cache"
worker = "WORKER"
guest_dir = "DIR/guest"
[images]
directories = ["DIR/images"]
[cgroups]
parent = "/GROUP"
[capacity]
cpu_overcommit = 1000.0
memory_overcommit = 1000.0
`+extra, "DIR", h.dir)
	text = strings.ReplaceAll(text, "WORKER", h.worker)
	text = strings.ReplaceAll(text, "GROUP", h.group())
	if !strings.Contains(text, "[listen]") {
		text += "[listen]\n"
	}
	text = strings.Replace(text, "[listen]\n", "[listen]\nunix = \""+h.socket()+"\"\n", 1)
	h.must(os.WriteFile(h.path("config.toml"), []byte(text), 0o600))
}

// group is the control group below which the host's sandboxes have theirs.
func (h *host) group() string { return "bulkhead-" + filepath.Base(h.dir) }

// sweep removes what a test that failed has left.
func (h *host) sweep() {
	for _, pid := range h.workers() {
		if n, err := strconv.Atoi(pid); err == nil {
			syscall.Kill(n, syscall.SIGKILL)
		}
	}
	for began := time.Now(); len(h.workers()) > 0 && time.Since(began) < 5*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + h.group() + "/*")
	for _, g := range groups {
		os.Remove(g)
		os.Remove(filepath.Dir(g))
	}
}

func (h *host) socket() string { return h.path("api.sock") }

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// daemon is a running bulkheadd.
type daemon struct {
	*host
	cmd *exec.Cmd
	log *lines
}

// lines collects what a process writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts a daemon and waits until it is ready.
func (h *host) start(env ...string) *daemon {
	h.t.Helper()
	d := h.spawn(env...)
	for began := time.Now(); !strings.Contains(d.log.String(), `"msg":"ready"`); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			h.t.Fatalf("the daemon isn't ready:\n%s", d.log)
		}
	}
	return d
}

// spawn starts one.
func (h *host) spawn(env ...string) *daemon {
	h.t.Helper()
	return h.run(exec.Command(h.daemon, "--config", h.path("config.toml")), env...)
}

// run starts one by a command that becomes it.
func (h *host) run(cmd *exec.Cmd, env ...string) *daemon {
	h.t.Helper()
	d := &daemon{host: h, cmd: cmd, log: new(lines)}
	if cmd.Stderr == nil {
		cmd.Stderr = d.log
	}
	d.cmd.Env = append(os.Environ(), env...)
	h.must(d.cmd.Start())
	h.t.Cleanup(func() {
		running := d.cmd.ProcessState == nil
		d.kill()
		if running && h.t.Failed() {
			h.t.Logf("the daemon, which ended with %v, said:\n%s\n%s", d.cmd.ProcessState, strings.Join(scan(d.log.String(), `"logger":"node`), "\n"), tail(d.log.String(), 20))
		}
	})
	return d
}

// mustLog waits until the daemon's log has some words.
func (d *daemon) mustLog(words string) {
	d.t.Helper()
	d.mustLogOf("", words)
}

// mustLogOf waits until lines of the daemon's log that have a word have all the others,
// too: a call is logged after it was answered.
func (d *daemon) mustLogOf(word string, words ...string) {
	d.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		said := strings.Join(scan(d.log.String(), word), "\n")
		missing := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.Contains(said, w) })
		if len(missing) == 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			d.t.Fatalf("the log of %q doesn't say %q:\n%s", word, missing, said)
		}
	}
}

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// zombies returns the daemon's children that have ended, and that nobody has waited for.
func (d *daemon) zombies() (found []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		_, after, _ := strings.Cut(string(stat), ") ") // the state, and the parent
		if err == nil && strings.HasPrefix(after, fmt.Sprintf("Z %d ", d.cmd.Process.Pid)) {
			found = append(found, string(stat))
		}
	}
	return found
}

// mustReap checks that the daemon has waited for all children that have ended.
func (d *daemon) mustReap() {
	d.t.Helper()
	for began := time.Now(); len(d.zombies()) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			d.t.Errorf("the daemon has zombies: %q", d.zombies())
			return
		}
	}
}

// stop ends it as an operator does.
func (d *daemon) stop() {
	d.t.Helper()
	d.mustReap()
	d.must(d.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			d.t.Errorf("the daemon ended with %v:\n%s", err, d.log)
		}
	case <-time.After(20 * time.Second):
		d.t.Fatalf("the daemon doesn't end:\n%s", d.log)
	}
}

// dial returns a client.
func (h *host) dial() *client.Client {
	h.t.Helper()
	c, err := client.Dial("unix://"+h.socket(), client.TLS{})
	h.must(err)
	h.t.Cleanup(func() { c.Close() })
	return c
}

// clear deletes every sandbox and checks that nothing of any is left on the host.
func (h *host) clear(c *client.Client) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		page, err := c.ListSandboxes(ctx, &bulkheadv1.ListSandboxesRequest{PageSize: 1000})
		h.must(err)
		if len(page.GetSandboxes()) == 0 {
			break
		}
		for _, s := range page.GetSandboxes() {
			_, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: s.GetName(), Force: true})
			if err != nil && status.Code(err) != codes.NotFound {
				h.t.Fatalf("delete %s: %v", s.GetName(), err)
			}
		}
	}
	h.mustBeClean()
}

// mustBeClean checks that no sandbox has left anything.
func (h *host) mustBeClean() {
	h.t.Helper()
	var left []string
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		if left = append(h.workers(), h.files()...); len(left) == 0 {
			return
		}
	}
	within, _ := exec.Command("find", append(left, "-ls")...).CombinedOutput() // of processes it says that they are no files
	h.t.Errorf("left behind, files and processes:\n%s\n%s", strings.Join(left, "\n"), within)
}

// files returns what is in the directories for sandboxes, cgroups among them.
func (h *host) files() (left []string) {
	for _, p := range []string{h.path("run/sandboxes/*"), h.path("state/sandboxes/*"), "/sys/fs/cgroup/*/" + h.group() + "/*", "/sys/fs/cgroup/" + h.group() + "/*"} {
		found, _ := filepath.Glob(p)
		for _, f := range found {
			if info, err := os.Stat(f); err == nil && filepath.Base(f)[0] != '.' && (info.IsDir() || !strings.HasPrefix(p, "/sys")) {
				left = append(left, f)
			}
		}
	}
	return left
}

// workers returns the processes of fake workers and guests of this host.
func (h *host) workers() (found []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		exe, err := os.Readlink(link)
		if err != nil || strings.TrimSuffix(exe, " (deleted)") != h.worker {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			continue
		}
		if h.owns(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// owns reports whether a process of the worker's program has a file of this host
// open.
func (h *host) owns(pid string) bool {
	fds, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	for _, fd := range fds {
		if target, _ := os.Readlink(fd); strings.HasPrefix(target, h.dir+"/") {
			return true
		}
	}
	env, _ := os.ReadFile("/proc/" + pid + "/environ")
	return strings.Contains(string(env), h.dir+"/")
}

// scan returns the lines of a text that have a word in them.
func scan(text, word string) (found []string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if strings.Contains(lines.Text(), word) {
			found = append(found, lines.Text())
		}
	}
	return found
}

// tail returns the last lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
