package cgroup

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
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

func (legacy) add(path string, pid int, l node.CgroupLimits) error {
	memory, tasks, shares := int64(l.Memory), int64(maxTasks), weight(l.CPUs)*1024/100
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

func (legacy) remove(path string) error {
	c, err := cgroup1.Load(cgroup1.StaticPath(path), cgroup1.WithHierarchy(hierarchy))
	if errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.Delete()
}

func (legacy) dir(path string) string { return filepath.Join(mountPoint, string(cgroup1.Memory), path) }

func ownGroup() (string, error) {
	groups, unified, err := cgroups.ParseCgroupFileUnified("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	if memory, ok := groups[string(cgroup1.Memory)]; ok {
		return memory, nil
	}
	if unified == "" {
		return "", os.ErrNotExist
	}
	return unified, nil
}
