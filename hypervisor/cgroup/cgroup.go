// Package cgroup keeps sandboxes' processes in control groups, of either version:
// each is in one of its own, below one that is the node's.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/cgroups/v3"
)

// mountPoint is where they are on every distribution.
const mountPoint = "/sys/fs/cgroup"

// maxTasks is how many threads a worker may have: one for each vCPU, and what the
// Go runtime and devices take.
const maxTasks = 1024

// Groups are the control groups of a node's sandboxes. Its methods may be called
// from any goroutine, for different names at the same time.
type Groups struct {
	parent string // from the mount point on, such as "/bulkhead"
	tree   tree
}

// limits is what the processes of a group may take together.
type limits struct {
	memory uint64 // bytes
	cpus   int
}

// tree is one version of control groups. Paths are from the mount point on.
type tree interface {
	// parent returns where a node's groups are unless somebody says otherwise.
	parent(node string) (string, error)
	add(path string, pid int, l limits) error
	// kill sends SIGKILL to whoever is in the group and returns how many that were.
	// A group that isn't there has nobody.
	kill(path string) (left int, err error)
	// remove removes a group that nobody is in.
	remove(path string) error
	// dir returns where the groups below a path can be listed.
	dir(path string) string
}

// New returns groups below parent, which is made when it is needed. Empty: a parent
// of the node's own, which is told from others of this host by a directory that is
// its own, such as "/run/bulkheadd".
func New(parent, node string) (*Groups, error) {
	g := &Groups{parent: parent}
	switch cgroups.Mode() {
	case cgroups.Unified:
		g.tree = unified{mountPoint, resources}
	case cgroups.Legacy, cgroups.Hybrid:
		g.tree = legacy{}
	default:
		return nil, errors.New("control groups aren't mounted on " + mountPoint)
	}
	if parent == "" {
		own, err := g.tree.parent(node)
		if err != nil {
			return nil, fmt.Errorf("control group of the node: %w", err)
		}
		g.parent = own
	}
	return g, nil
}

// escaped is a path as the name of one directory.
func escaped(path string) string { return url.PathEscape(strings.Trim(filepath.Clean(path), "/")) }

func (g *Groups) path(name string) string { return filepath.Join(g.parent, name) }

// Add puts a process into the sandbox's group, which is made if need be. All in it
// take at most memory, in bytes, and where CPUs are too few as much of them as a
// sandbox is worth that has so many.
func (g *Groups) Add(name string, pid int, memory uint64, cpus int) error {
	if err := g.tree.add(g.path(name), pid, limits{memory, cpus}); err != nil {
		return fmt.Errorf("control group of sandbox %q: %w", name, err)
	}
	return nil
}

// Remove ends whoever is in the group still, waits for that and removes the group;
// that there is none is no error.
func (g *Groups) Remove(name string) error {
	if err := remove(g.tree, g.path(name)); err != nil {
		return fmt.Errorf("control group of sandbox %q: %w", name, err)
	}
	return nil
}

// Names returns the sandboxes that have a group.
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

// weight is a group's share of the CPUs where they are too few: 100 for each that
// it has, as much as a group has that nobody set.
func weight(cpus int) uint64 { return uint64(max(cpus, 1)) * 100 }
