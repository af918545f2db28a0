package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// legacy is version 1: a hierarchy for each controller.
type legacy struct{}

// controllers are those that bound anything here.
var controllers = map[cgroup1.Name]bool{cgroup1.Cpu: true, cgroup1.Memory: true, cgroup1.Pids: true, cgroup1.Freezer: true}

// hierarchy returns the controllers that this host has.
func hierarchy() ([]cgroup1.Subsystem, error) {
	all, err := cgroup1.Default()
	if err != nil {
		return nil, err
	}
	var ours []cgroup1.Subsystem
	for _, s := range all {
		if controllers[s.Name()] {
			ours = append(ours, s)
		}
	}
	return ours, nil
}

// parent is below the group that this process is in: what bounds that one bounds
// its sandboxes, too.
func (legacy) parent(string) (string, error) {
	groups, _, err := cgroups.ParseCgroupFileUnified("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own, ok := groups[string(cgroup1.Memory)]
	if !ok {
		return "", errors.New("this host has no memory controller")
	}
	return filepath.Join(own, "sandboxes"), nil
}

func (legacy) add(path string, pid int, l limits) error {
	memory, tasks, shares := int64(l.memory), int64(maxTasks), weight(l.cpus)*1024/100
	c, err := cgroup1.New(cgroup1.StaticPath(path), &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory},
		Pids:   &specs.LinuxPids{Limit: &tasks},
		CPU:    &specs.LinuxCPU{Shares: &shares},
	}, cgroup1.WithHierarchy(hierarchy))
	if err != nil {
		return err
	}
	return c.AddProc(uint64(pid))
}

// load returns the group, nil if there is none.
func (legacy) load(path string) (cgroup1.Cgroup, error) {
	c, err := cgroup1.Load(cgroup1.StaticPath(path), cgroup1.WithHierarchy(hierarchy))
	if errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return nil, nil
	}
	return c, err
}

// kill looks in each hierarchy: a process may be in some of them only, if who put it
// there was killed meanwhile.
func (l legacy) kill(path string) (left int, err error) {
	c, err := l.load(path)
	if err != nil || c == nil {
		return 0, err
	}
	found := map[int]bool{}
	for _, s := range c.Subsystems() {
		processes, err := c.Processes(s.Name(), true)
		if err != nil {
			return 0, err
		}
		for _, p := range processes {
			found[p.Pid] = true
		}
	}
	for pid := range found {
		if pid <= 0 {
			return 0, errors.New("a process of another PID namespace is in it: end it there")
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, fmt.Errorf("end process %d: %w", pid, err)
		}
	}
	return len(found), nil
}

func (l legacy) remove(path string) error {
	c, err := l.load(path)
	if err != nil || c == nil {
		return err
	}
	return c.Delete()
}

func (legacy) dir(path string) string { return filepath.Join(mountPoint, string(cgroup1.Memory), path) }
