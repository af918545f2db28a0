package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLimits reads what the kernel has of a group's limits, on hosts that use
// version 1, and who is in it; and adds a process once more with others.
func TestLimits(t *testing.T) {
	tree := newLegacy(t)
	g := &Groups{parent: testPath(t, tree), tree: tree}
	if names, err := g.Names(); err != nil || len(names) > 0 {
		t.Errorf("before there are any: %q, %v", names, err)
	}
	pid, ended := sleeper(t)
	for _, tt := range []struct {
		memory uint64
		cpus   int
		shares string
	}{{256 << 20, 2, "2048"}, {512 << 20, 0, "1024"}} {
		must(t, g.Add("box", pid, tt.memory, tt.cpus))
		for file, want := range map[string]string{
			"memory/memory.limit_in_bytes": fmt.Sprint(tt.memory), "pids/pids.max": fmt.Sprint(maxTasks), "cpu/cpu.shares": tt.shares,
			"memory/cgroup.procs": fmt.Sprint(pid), "pids/cgroup.procs": fmt.Sprint(pid), "cpu/cgroup.procs": fmt.Sprint(pid), "freezer/cgroup.procs": fmt.Sprint(pid),
		} {
			controller, name, _ := strings.Cut(file, "/")
			b, err := os.ReadFile(filepath.Join(mountPoint, controller, g.path("box"), name))
			if got := strings.TrimSpace(string(b)); err != nil || got != want {
				t.Errorf("%s is %q, want %q; %v", file, got, want, err)
			}
		}
	}
	other, _ := sleeper(t)
	must(t, g.Add("other.2", other, 64<<20, 1))
	names, err := g.Names()
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"box", "other.2"}) {
		t.Errorf("names: %q, %v", names, err)
	}
	must(t, g.Remove("box"))
	if !ended() {
		t.Error("a process outlived its group")
	}
	for _, controller := range []string{"memory", "pids", "cpu", "freezer"} {
		if _, err := os.Stat(filepath.Join(mountPoint, controller, g.path("box"))); !os.IsNotExist(err) {
			t.Errorf("the group is left in %s: %v", controller, err)
		}
	}
	if err := g.Add("gone", pid, 64<<20, 1); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("a process that is gone: %v", err)
	}
	for _, name := range []string{"other.2", "gone", "never"} {
		must(t, g.Remove(name))
	}
	if names, err := g.Names(); err != nil || len(names) > 0 {
		t.Errorf("at the end: %q, %v", names, err)
	}
}
