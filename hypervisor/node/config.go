package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
)

// Config says where a node finds and keeps its things, and what it allows. Empty
// fields have good defaults.
type Config struct {
	Name    string // default: the host's
	Version string

	RuntimeDir string // for bundles; nobody else's
	StateDir   string // for what is kept of sandboxes beside the store; default: gone with the node
	CacheDir   string // for root file systems
	// TemplateDir is for templates. Nodes of the same host may share it. Default: in
	// StateDir.
	TemplateDir string
	WorkerPath  string // of bulkhead-vmm; default: beside this program or in /usr/lib/bulkhead
	GuestDir    string // with vmlinux, initramfs.cpio, userland.erofs; default: guest/ there

	// Store keeps sandboxes. It stays the caller's, to be closed after the node.
	// nil: memory.
	Store store.Store
	// Patience is how long the worker of a sandbox that is found again may be silent
	// until it is ended. 0: two minutes, which is more than a host under load takes.
	Patience time.Duration
	// Tied sandboxes end with this process, however it ends.
	Tied bool

	Limits
	// Cgroups and Taps are what the host has of them. nil: none.
	Cgroups Cgroups
	Taps    Taps

	// Observer hears of starts and ends. nil: nobody does.
	Observer Observer
	// Log takes what operators want to know. nil: nobody does.
	Log *zap.Logger
	// Notify hears what a user should know while waiting. nil: nobody does.
	Notify func(string)
}

// Limits is what a node allows. It can be changed while the node runs.
type Limits struct {
	Spec spec.Policy
	// Capacity says how much sandboxes may have in all. nil: as much as they ask
	// for.
	Capacity *capacity.Policy
	// PerClient is how many sandboxes a client may have. 0: any number.
	PerClient int
	// PoolMembers is how many members the pools of a client may have in all. 0: any
	// number.
	PoolMembers int
	// StartsAtOnce is how many sandboxes come up at a time; others wait for their
	// turn. 0: as many as the host has CPUs.
	StartsAtOnce int
	// SnapshotBytes is how much of the disk all snapshots may take, and
	// SnapshotBytesPerClient those of a client. 0: any number.
	SnapshotBytes, SnapshotBytesPerClient uint64
	// SnapshotReserve is what share of StateDir's disk snapshots leave free, from 0
	// to 1.
	SnapshotReserve float64
	// BootTimeout is how long a guest may take to come up, unless its
	// specification says otherwise. 0: a minute.
	BootTimeout time.Duration
}

// Cgroups keeps what a sandbox takes of the host within bounds. Its methods may
// be called from any goroutine, for different names at the same time.
type Cgroups interface {
	// Add puts a process into the sandbox's group, which is made if need be. All in
	// it take at most memory, in bytes, and where CPUs are too few as much of them
	// as a sandbox is worth that has so many.
	Add(name string, pid int, memory uint64, cpus int) error
	// Remove ends what is in the group, and removes it; that there is none is no
	// error.
	Remove(name string) error
	// Names returns the sandboxes that have one.
	Names() ([]string, error)
}

// Taps makes network interfaces for sandboxes. As Cgroups.
type Taps interface {
	// Add makes a tap called name that belongs to the sandbox, plugged into a
	// bridge. One that is there already is replaced, unless it isn't the node's.
	Add(name, sandbox, bridge string, queues int, mtu uint32) error
	// Remove removes it; that there is none is no error.
	Remove(name string) error
	// Names returns the taps there are by the sandboxes they belong to.
	Names() (map[string][]string, error)
}

const (
	defaultBootTimeout = time.Minute
	defaultPatience    = 2 * time.Minute
)

// withDefaults fills in what isn't set.
func (c Config) withDefaults() (Config, error) {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Store == nil {
		c.Store = store.NewMemory()
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.RuntimeDir == "" {
		c.RuntimeDir = supervise.RuntimeDir()
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname() // nothing is lost without
	}
	if c.CacheDir == "" {
		dir, err := cache.DefaultDir()
		if err != nil {
			return c, err
		}
		c.CacheDir = dir
	}
	self, err := os.Executable()
	if err != nil {
		return c, fmt.Errorf("find this program's own directory: %w", err)
	}
	if c.WorkerPath == "" {
		c.WorkerPath = installed(filepath.Dir(self), "bulkhead-vmm")
	}
	if c.GuestDir == "" {
		c.GuestDir = installed(filepath.Dir(self), "guest")
	}
	return c, nil
}

// libDir is where packages put what isn't for users to run.
const libDir = "/usr/lib/bulkhead"

// installed returns where a part of Bulkhead is: beside the program, as after a
// build, or else where packages have it.
func installed(beside, name string) string {
	path := filepath.Join(beside, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return filepath.Join(libDir, name)
	}
	return path
}
