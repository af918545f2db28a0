package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"
)

// newUnified returns control groups of version 2, mounted for this test alone, also
// on hosts that use version 1. There they bound what is left of controllers.
func newUnified(t *testing.T) unified {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: control groups take root")
	}
	dir := mountUnified(t)
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	must(t, err)
	u := unified{mount: dir}
	switch all := strings.Fields(string(b)); {
	case slices.Contains(all, "memory") && slices.Contains(all, "pids") && slices.Contains(all, "cpu"):
		u.resources = resources
	case slices.Contains(all, "hugetlb"):
		u.resources = func(limits) *cgroup2.Resources {
			return &cgroup2.Resources{HugeTlb: &cgroup2.HugeTlb{{HugePageSize: "2MB", Limit: 0}}}
		}
	default:
		t.Skipf("NOT TESTED: version 2 has no controller here: %q", b)
	}
	return u
}

// mountUnified mounts version 2, which only this goroutine sees. Wherever it is
// mounted it is all of the host's: nothing may walk it that removes what it finds,
// such as the end of t.TempDir.
func mountUnified(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgroup2")
	must(t, err)
	t.Cleanup(func() { os.Remove(dir) }) // just this one, if it is empty
	runtime.LockOSThread()               // for good: the thread ends with the test's goroutine
	must(t, unix.Unshare(unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		t.Skipf("NOT TESTED: control groups of version 2: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	control := filepath.Join(dir, "cgroup.subtree_control")
	before, err := os.ReadFile(control)
	must(t, err)
	t.Cleanup(func() { // as it was
		after, _ := os.ReadFile(control)
		for _, c := range strings.Fields(string(after)) {
			if !slices.Contains(strings.Fields(string(before)), c) {
				os.WriteFile(control, []byte("-"+c), 0o600)
			}
		}
	})
	return dir
}

func newLegacy(t *testing.T) tree {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: control groups take root")
	}
	if all, err := hierarchy(); err != nil || len(all) != len(controllers) {
		t.Skipf("NOT TESTED: this host has no control groups of version 1: %v", err)
	}
	return legacy{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testPath returns a path for groups of this test's own, which go with it.
func testPath(t *testing.T, u tree) string {
	path := fmt.Sprintf("/bulkhead-test-%d-%s", os.Getpid(), t.Name()[strings.LastIndex(t.Name(), "/")+1:])
	t.Cleanup(func() { remove(u, path) })
	return path
}

// sleeper returns a process that does nothing, and with it a child of its own.
func sleeper(t *testing.T) (pid int, ended func() bool) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "sleep 1000 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	over := make(chan struct{})
	go func() {
		cmd.Wait()
		close(over)
	}()
	t.Cleanup(func() { unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	return cmd.Process.Pid, func() bool {
		select {
		case <-over:
			return true
		case <-time.After(5 * time.Second):
			return false
		}
	}
}

// TestBesideAService is a daemon in the group of its service, as its unit has it,
// with workers that start there.
func TestBesideAService(t *testing.T) {
	u := newUnified(t)
	service := testPath(t, u)
	must(t, os.Mkdir(u.dir(service), 0o700))
	daemon, _ := sleeper(t)
	worker, ended := sleeper(t)
	for _, pid := range []int{daemon, worker} {
		must(t, os.WriteFile(filepath.Join(u.dir(service), "cgroup.procs"), fmt.Append(nil, pid), 0o600))
	}
	// Below the service's own group nothing can be bounded.
	if err := u.add(service+"/box", worker, limits{1 << 30, 1}); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a group below one with processes: %v", err)
	}
	node := fmt.Sprintf("/run/bulkhead-test-%d", os.Getpid())
	parent, err := u.parent(node)
	must(t, err)
	g := &Groups{parent: parent, tree: u}
	t.Cleanup(func() {
		os.Remove(u.dir(parent))
		os.Remove(u.dir(topGroup)) // unless a node has it
	})
	must(t, g.Add("box", worker, 1<<30, 1))
	must(t, g.Add("box", worker, 1<<30, 1)) // by a node that came back
	b, err := os.ReadFile(filepath.Join(u.dir(parent), "box", "cgroup.procs"))
	must(t, err)
	if got := strings.TrimSpace(string(b)); got != fmt.Sprint(worker) {
		t.Errorf("in the group: %q, want %d", got, worker)
	}
	if names, err := g.Names(); err != nil || !slices.Equal(names, []string{"box"}) {
		t.Errorf("names: %q, %v", names, err)
	}
	must(t, g.Remove("box"))
	if !ended() {
		t.Error("a process outlived its group")
	}
	must(t, g.Remove("box")) // it is gone
}

// TestNodesHaveTheirOwn: what one node doesn't know is another's.
func TestNodesHaveTheirOwn(t *testing.T) {
	seen := map[string]string{}
	for _, node := range []string{"/run/bulkheadd", "/run/bulkheadd2", "/run/a/b", "/run/a%2Fb", "/run/a-b"} {
		parent, err := unified{}.parent(node)
		must(t, err)
		if filepath.Dir(parent) != "/bulkhead" {
			t.Errorf("%s: %s", node, parent)
		}
		if other, ok := seen[parent]; ok {
			t.Errorf("%s and %s share %s", node, other, parent)
		}
		seen[parent] = node
	}
}

// TestRemoveEndsProcesses has processes in a group that don't end by themselves,
// one of them stopped.
func TestRemoveEndsProcesses(t *testing.T) {
	for version, open := range map[string]func(*testing.T) tree{
		"v1": newLegacy,
		"v2": func(t *testing.T) tree { return newUnified(t) },
	} {
		t.Run(version, func(t *testing.T) {
			tree := open(t)
			g := &Groups{parent: testPath(t, tree), tree: tree}
			var ended []func() bool
			for i := range 2 {
				pid, e := sleeper(t)
				must(t, g.Add("box", pid, 1<<30, 2))
				if i == 0 {
					must(t, unix.Kill(pid, unix.SIGSTOP))
				}
				ended = append(ended, e)
			}
			must(t, g.Remove("box"))
			for _, e := range ended {
				if !e() {
					t.Error("a process outlived its group")
				}
			}
			if names, err := g.Names(); err != nil || len(names) != 0 {
				t.Errorf("groups that are left: %q, %v", names, err)
			}
			must(t, g.Remove("box"))
			must(t, g.Remove("never made"))
		})
	}
}
