// Package cgroup keeps sandboxes' processes in control groups, of either version:
// each is in one of its own, below one that is the node's.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// mountPoint is where they are on every distribution.
const mountPoint = "/sys/fs/cgroup"

// maxTasks is how many threads a worker may have: one for each vCPU, and what the
// Go runtime and devices take.
const maxTasks = 1024

// Groups implements node.Cgroups.
type Groups struct {
	parent string // from the mount point on, such as "/bulkhead"
	tree   tree
}

var _ node.Cgroups = (*Groups)(nil)

// tree is one version of control groups. Paths are from the mount point on.
type tree interface {
	add(path string, pid int, l node.CgroupLimits) error
	remove(path string) error
	// dir returns where the groups below a path can be listed.
	dir(path string) string
}

// New returns groups below parent, which is made when it is needed. Empty: below
// the group that this process is in.
func New(parent string) (*Groups, error) {
	g := &Groups{parent: parent}
	switch cgroups.Mode() {
	case cgroups.Unified:
		g.tree = unified{}
	case cgroups.Legacy, cgroups.Hybrid:
		g.tree = legacy{}
	default:
		return nil, errors.New("control groups aren't mounted on " + mountPoint)
	}
	if parent == "" {
		own, err := ownGroup()
		if err != nil {
			return nil, fmt.Errorf("control group of this process: %w", err)
		}
		g.parent = filepath.Join(own, "sandboxes")
	}
	return g, nil
}

func (g *Groups) path(name string) string { return filepath.Join(g.parent, name) }

// Add implements node.Cgroups.
func (g *Groups) Add(name string, pid int, l node.CgroupLimits) error {
	if err := g.tree.add(g.path(name), pid, l); err != nil {
		return fmt.Errorf("control group of sandbox %q: %w", name, err)
	}
	return nil
}

// Remove implements node.Cgroups.
func (g *Groups) Remove(name string) error {
	if err := g.tree.remove(g.path(name)); err != nil {
		return fmt.Errorf("control group of sandbox %q: %w", name, err)
	}
	return nil
}

// Names implements node.Cgroups.
func (g *Groups) Names() (names []string, err error) {
	entries, err := os.ReadDir(g.tree.dir(g.parent))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// weight is a group's share by its number of CPUs, with one as good as two of a
// hundred.
func weight(cpus int) uint64 { return uint64(max(cpus, 1)) * 100 }
