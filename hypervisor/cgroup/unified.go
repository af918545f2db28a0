package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// unified is version 2: one hierarchy for all controllers.
type unified struct{}

func (unified) add(path string, pid int, l node.CgroupLimits) error {
	memory, shares := int64(l.Memory), weight(l.CPUs)
	c, err := cgroup2.NewManager(mountPoint, path, &cgroup2.Resources{
		Memory: &cgroup2.Memory{Max: &memory},
		Pids:   &cgroup2.Pids{Max: maxTasks},
		CPU:    &cgroup2.CPU{Weight: &shares},
	})
	if err != nil {
		return err
	}
	return c.AddProc(uint64(pid))
}

// remove ends what is still in the group: it belongs to a sandbox that is gone.
func (u unified) remove(path string) error {
	if _, err := os.Stat(u.dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c, err := cgroup2.Load(path)
	if err != nil {
		return err
	}
	return c.Delete()
}

func (unified) dir(path string) string { return filepath.Join(mountPoint, path) }
