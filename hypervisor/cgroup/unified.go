package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"
)

// unified is version 2: one hierarchy for all controllers.
type unified struct {
	mount     string
	resources func(limits) *cgroup2.Resources
}

func resources(l limits) *cgroup2.Resources {
	memory, shares := int64(l.memory), min(weight(l.cpus), maxWeight)
	return &cgroup2.Resources{
		Memory: &cgroup2.Memory{Max: &memory},
		Pids:   &cgroup2.Pids{Max: maxTasks},
		CPU:    &cgroup2.CPU{Weight: &shares},
	}
}

// maxWeight is the most that cpu.weight takes.
const maxWeight = 10_000

// topGroup has the groups of all nodes.
const topGroup = "/bulkhead"

// parent is outside the group that a daemon's service has: a group with processes
// in it, as that one, can't bound groups below it (cgroups(7), "no internal
// processes").
func (unified) parent(node string) (string, error) {
	return filepath.Join(topGroup, escaped(node)), nil
}

func (u unified) add(path string, pid int, l limits) error {
	c, err := cgroup2.NewManager(u.mount, path, u.resources(l))
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w (processes are in a group above it: choose another parent, outside the group that the daemon is in)", err)
	}
	if err != nil {
		return err
	}
	return c.AddProc(uint64(pid))
}

func (u unified) load(path string) (*cgroup2.Manager, error) {
	return cgroup2.Load(path, cgroup2.WithMountpoint(u.mount))
}

func (u unified) kill(path string) (left int, err error) {
	c, err := u.load(path)
	if err != nil {
		return 0, err
	}
	pids, err := c.Procs(true)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || len(pids) == 0 {
		return 0, err
	}
	return len(pids), c.Kill()
}

func (u unified) remove(path string) error {
	if _, err := os.Stat(u.dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c, err := u.load(path)
	if err != nil {
		return err
	}
	return c.Delete()
}

func (u unified) dir(path string) string { return filepath.Join(u.mount, path) }
