package freezer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// hierarchy is a freezer whose root is a cgroup of the test's own.
type hierarchy struct {
	*Freezer
	t testing.TB
}

func newHierarchy(t testing.TB) *hierarchy {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	fd, err := mount()
	if err != nil {
		t.Skipf("no cgroup v2: %v", err)
	}
	all := dir{fd}
	name := fmt.Sprintf("bulkhead-freezer-test-%d-%s", os.Getpid(), filepath.Base(t.TempDir()))
	own, err := all.make(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		all.write(name+"/cgroup.kill", "1")
		for range 1000 {
			if err = clear(all, name); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("a cgroup is left: %v", err)
		}
		unix.Close(fd)
	})
	return &hierarchy{&Freezer{mount: func() (int, error) { return own.fd, nil }}, t}
}

// clear removes a cgroup and those below it.
func clear(d dir, name string) error {
	below, err := d.dirs(name)
	for _, b := range below {
		err = errors.Join(err, clear(d, name+"/"+b))
	}
	return errors.Join(err, unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR))
}

// start starts a shell script and returns what it writes.
func (h *hierarchy) start(script string) (*exec.Cmd, *lines) {
	h.t.Helper()
	var cmd *exec.Cmd
	var out io.ReadCloser
	err := h.Enter(func(cgroup int) (err error) {
		cmd = exec.Command("sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: cgroup >= 0, CgroupFD: cgroup, Setsid: true}
		if out, err = cmd.StdoutPipe(); err == nil {
			err = cmd.Start()
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, &lines{h.t, out}
}

// lines reads a line at a time, which must come soon.
type lines struct {
	t testing.TB
	r io.Reader
}

func (l *lines) next() string {
	l.t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if n, err := l.r.Read(b); n == 0 {
			l.t.Fatalf("after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
}

// flows tells whether lines come, after those that are there.
func (l *lines) flows() bool { return l.within(5 * time.Second) }

// still tells whether none do.
func (l *lines) still() bool { return !l.within(80 * time.Millisecond) }

func (l *lines) within(d time.Duration) bool {
	f := l.r.(*os.File)
	buf := make([]byte, 64<<10)
	f.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = f.Read(buf)
	}
	f.SetReadDeadline(time.Now().Add(d))
	n, _ := f.Read(buf)
	f.SetReadDeadline(time.Time{})
	return n > 0
}

// tick writes all the time.
const tick = "while :; do echo tick; sleep 0.005; done"

func (h *hierarchy) freeze() {
	h.t.Helper()
	if err := h.freezeWithin(10 * time.Second); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hierarchy) freezeWithin(d time.Duration) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), d)
	defer cancel()
	return h.Freeze(ctx)
}

func (h *hierarchy) thaw() {
	h.t.Helper()
	if err := h.Thaw(); err != nil {
		h.t.Fatal(err)
	}
}

// want freezes and thaws, and looks whether what writes lines obeys.
func (h *hierarchy) want(all ...*lines) {
	h.t.Helper()
	for range 2 {
		for range 2 {
			h.freeze()
			for i, l := range all {
				if !l.still() {
					h.t.Errorf("number %d doesn't stand still", i)
				}
			}
		}
		for range 2 {
			h.thaw()
		}
		for i, l := range all {
			if !l.flows() {
				h.t.Errorf("number %d doesn't go on", i)
			}
		}
	}
}

// own is the path of the test's hierarchy on the host, for scripts.
func (h *hierarchy) own() string {
	h.t.Helper()
	dir := h.t.TempDir()
	if err := unix.Mount("cgroup2", dir, "cgroup2", 0, ""); err != nil {
		h.t.Skip(err)
	}
	h.t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	matches, _ := filepath.Glob(fmt.Sprintf("%s/bulkhead-freezer-test-%d-*/%s", dir, os.Getpid(), homeName))
	if len(matches) != 1 {
		h.t.Fatalf("the hierarchy is at %q", matches)
	}
	return filepath.Dir(matches[0])
}

func TestFreezeNothing(t *testing.T) {
	h := newHierarchy(t)
	h.thaw()
	h.want()
}

func TestFreezeAll(t *testing.T) {
	h := newHierarchy(t)
	_, plain := h.start(tick)
	_, child := h.start("(" + tick + ") & wait")
	_, orphan := h.start("setsid sh -c '" + tick + "' &")
	_, forks := h.start("while :; do (echo tick; sleep 0.005) & wait; done")
	h.want(plain, child, orphan, forks)
}

// TestFreezeElsewhere has processes that made cgroups of their own, below and beside
// the one that they were started in, or went to the root, which can't be frozen.
func TestFreezeElsewhere(t *testing.T) {
	h := newHierarchy(t)
	h.start("true")
	own := h.own()
	var all []*lines
	for _, where := range []string{"bulkhead/a/b", "beside", "beside/c", "."} {
		_, l := h.start(fmt.Sprintf("cd %s; mkdir -p %s; echo 0 > %[2]s/cgroup.procs; %s", own, where, tick))
		l.next()
		all = append(all, l)
	}
	h.want(all...)
	in, err := os.ReadFile(own + "/cgroup.procs")
	if err != nil || len(strings.Fields(string(in))) == 0 {
		t.Errorf("who was in the root is no longer: %q, %v", in, err)
	}
	if _, err := os.Stat(own + "/" + strayName); !os.IsNotExist(err) {
		t.Errorf("the cgroup for strays is left: %v", err)
	}
}

// TestFreezeKeepsFrozen: what the guest froze itself stays as it is.
func TestFreezeKeepsFrozen(t *testing.T) {
	h := newHierarchy(t)
	h.start("true")
	own := h.own()
	_, l := h.start(fmt.Sprintf("cd %s; mkdir -p %s; echo 0 > %[2]s/cgroup.procs; %s", own, "theirs", tick))
	l.next()
	if err := os.WriteFile(own+"/theirs/cgroup.freeze", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	h.freeze()
	h.thaw()
	if !l.still() {
		t.Error("a process that the guest had frozen goes on")
	}
}

// TestFreezeWhileMoving has processes that are always on their way to new cgroups.
func TestFreezeWhileMoving(t *testing.T) {
	h := newHierarchy(t)
	h.start("true")
	own := h.own()
	_, l := h.start(fmt.Sprintf(`cd %s; i=0; while :; do mkdir m$i; echo 0 > m$i/cgroup.procs; echo tick; [ $i -lt 1 ] || rmdir m$((i-1)); i=$((i+1)); done`, own))
	l.next()
	h.freeze()
	if !l.still() {
		t.Error("it doesn't stand still")
	}
	h.thaw()
	if !l.flows() {
		t.Error("it doesn't go on")
	}
}

// TestStoppedIsStill: a process that was stopped needn't be frozen to be still, and
// is stopped after.
func TestStoppedIsStill(t *testing.T) {
	h := newHierarchy(t)
	cmd, l := h.start(tick)
	l.next()
	cmd.Process.Signal(unix.SIGSTOP)
	h.freeze()
	h.thaw()
	if !l.still() {
		t.Error("a stopped process goes on")
	}
	cmd.Process.Signal(unix.SIGCONT)
	h.want(l)
}

// TestKilledWhileFrozen: SIGKILL takes no thaw.
func TestKilledWhileFrozen(t *testing.T) {
	h := newHierarchy(t)
	cmd, l := h.start(tick)
	l.next()
	h.freeze()
	cmd.Process.Kill()
	cmd.Wait()
	h.thaw()
}

// stuckFile is in a file system whose server doesn't answer: who opens it waits, and
// nothing but its end changes that.
func stuckFile(t *testing.T) string {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	dir := t.TempDir()
	if err := unix.Mount("stuck", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir + "/file"
}

func TestFreezeWhatCannotBe(t *testing.T) {
	h := newHierarchy(t)
	stuck, _ := h.start("exec cat " + stuckFile(t))
	_, other := h.start(tick)
	other.next()
	for range 5000 {
		if strings.Contains(describe(stuck.Process.Pid), "waits") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	err := h.freezeWithin(200 * time.Millisecond)
	if fail.KindOf(err) != fail.Late || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("process %d (\"cat\") waits", stuck.Process.Pid)) {
		t.Errorf("Freeze = %v", err)
	}
	if !other.flows() {
		t.Error("the others don't go on")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrUnexpectedEOF)
	if err := h.Freeze(ctx); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Freeze = %v", err)
	}
	stuck.Process.Kill()
	h.want(other)
}

func TestWithoutCgroups(t *testing.T) {
	h := &hierarchy{&Freezer{mount: func() (int, error) { return -1, unix.ENODEV }}, t}
	_, l := h.start(tick)
	if !l.flows() {
		t.Error("no process is started")
	}
	err := h.freezeWithin(time.Second)
	if fail.KindOf(err) != fail.Untimely || !errors.Is(err, unix.ENODEV) {
		t.Errorf("Freeze = %v", err)
	}
	h.thaw()
}

// TestSpoiltHome has the guest do things to the cgroup that processes are started
// in, after which the kernel starts none there.
func TestSpoiltHome(t *testing.T) {
	for name, script := range map[string]string{
		"deleted":  "rmdir bulkhead",
		"threaded": "echo threaded > bulkhead/cgroup.type",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHierarchy(t)
			first, _ := h.start("true")
			first.Wait()
			cmd := exec.Command("sh", "-c", "cd "+h.own()+"; "+script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			_, l := h.start(tick)
			h.want(l)
			if err := h.Enter(func(int) error { return unix.ENOENT }); !errors.Is(err, unix.ENOENT) {
				t.Errorf("Enter = %v", err)
			}
			calls := 0
			if err := h.Enter(func(int) error { calls++; return unix.EBUSY }); !errors.Is(err, unix.EBUSY) || calls > 1+maxHomes {
				t.Errorf("Enter = %v after %d calls", err, calls)
			}
		})
	}
}

// TestSelf: the agent is where it can't be frozen by its own hand.
func TestSelf(t *testing.T) {
	h := newHierarchy(t)
	agent, l := h.start("exec yes") // in its place
	h.self = agent.Process.Pid
	_, other := h.start(tick)
	other.next()
	h.freeze()
	if !other.still() || !l.flows() {
		t.Error("the agent is frozen, or not only it isn't")
	}
	h.thaw()
}

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]string{
		"7 (sh) S 1 7":       "sh S",
		"7 (a) b) (c) D 1 7": "a) b) (c D",
		"7 (\n) R 1":         "\n R",
		"7 () Z":             " Z",
		"":                   " \x00",
		"7 (sh":              " \x00",
		"7 )(":               " \x00",
		"7 ()":               " \x00",
	} {
		if name, state := parseStat(stat); name+" "+string(state) != want {
			t.Errorf("parseStat(%q) = %q, %q", stat, name, state)
		}
	}
}

func TestNewIsLazy(t *testing.T) {
	f := New()
	f.mount = func() (int, error) { t.Error("it mounts before it is used"); return -1, unix.EPERM }
	if err := f.Thaw(); err != nil {
		t.Error(err)
	}
}
