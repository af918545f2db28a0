package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Node makes and keeps sandboxes. Its methods may be called from any goroutine.
//
// Lock ordering: admission, saves, mu.
type Node struct {
	config  Config
	limits  atomic.Pointer[Limits]
	ledger  *capacity.Ledger
	started time.Time
	own     *supervise.Bundle // with what is kept of sandboxes; nil: StateDir is configured

	snapshots *snapshots.Dir
	gate      gate // of starts
	templates *snapshots.Dir
	profile   func() string // the host's kind of KVM in words; empty: not known

	closing chan struct{} // closed by Close
	finding chan struct{} // has a token of each sandbox that looks for its worker
	running sync.WaitGroup

	// admission is held while a sandbox is made, so that limits hold.
	admission sync.Mutex
	draining  atomic.Bool

	// saves is held while it is decided whether a snapshot is taken. It guards the
	// next five.
	saves    sync.Mutex
	savings  map[string]*saving  // under way, by name
	forkings map[string]*forking // under way, by client and request ID
	makings  []*making           // of templates, under way
	mergings map[string]*merging // under way, by name
	imports  map[string]int      // under way, by client

	reading sync.Mutex                     // the next one; no other lock is taken under it
	known   map[string]*snapshots.Snapshot // templates that were read, by name

	checking sync.Mutex // the next two; no other lock is taken under it
	checked  time.Time
	checks   []Check

	memberEnds store.Notifier // tells of members that are gone

	mu        sync.Mutex // the rest; not held while anything waits
	sandboxes map[string]*sandbox
	members   map[string]*sandbox // of pools, by their names on the host
	pools     map[string]*pool    // also those that are being deleted, by their UIDs
	closed    bool
	// unfinished are what an earlier node left of snapshots, by sandbox.
	unfinished map[string][]*snapshots.Stage
}

// Open returns a node with the sandboxes of its store. Those that were running
// are being attached to when it returns. The caller closes it.
func Open(c Config) (*Node, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		config: c, started: time.Now(), closing: make(chan struct{}), finding: make(chan struct{}, finders), sandboxes: map[string]*sandbox{},
		members: map[string]*sandbox{}, pools: map[string]*pool{},
		savings: map[string]*saving{}, forkings: map[string]*forking{}, mergings: map[string]*merging{}, imports: map[string]int{}, unfinished: map[string][]*snapshots.Stage{},
	}
	n.profile = sync.OnceValue(n.hostProfile)
	if err := n.prepare(); err != nil {
		return nil, errors.Join(err, n.removeOwn())
	}
	if err := n.recover(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) prepare() (err error) {
	host, err := capacity.Host()
	if err != nil {
		return err
	}
	n.ledger = capacity.NewLedger(host)
	if err := n.SetLimits(n.config.Limits); err != nil {
		return err
	}
	if n.config.StateDir == "" {
		// What other nodes of this kind left, of which nobody knows any more.
		if err := supervise.Sweep(n.config.RuntimeDir); err != nil {
			return err
		}
		if n.own, err = supervise.NewBundle(n.config.RuntimeDir, "node-"+newID()); err != nil {
			return err
		}
		n.config.StateDir = n.own.Dir
	}
	if err := os.MkdirAll(filepath.Join(n.config.StateDir, keptName), 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := checkOwn(n.config.StateDir); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if n.snapshots, err = snapshots.Open(filepath.Join(n.config.StateDir, snapshotsName)); err != nil {
		return err
	}
	if n.config.TemplateDir == "" {
		n.config.TemplateDir = filepath.Join(n.config.StateDir, templatesName)
	}
	if err := checkOwn(n.config.TemplateDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("template directory: %w", err)
	}
	n.templates = snapshots.OpenTemplates(n.config.TemplateDir)
	if err := n.templates.SweepTemplates(); err != nil { // which takes room, and nothing else
		n.config.Log.Warn("remove what is left of templates", zap.Error(err))
	}
	return nil
}

// SetLimits changes what the node allows from now on.
func (n *Node) SetLimits(l Limits) error {
	if l.Capacity != nil {
		host, err := capacity.Host()
		if err != nil {
			return err
		}
		n.ledger.SetTotal(l.Capacity.Allocatable(host))
	}
	n.gate.set(l.StartsAtOnce)
	n.limits.Store(&l)
	n.wakePools()
	return nil
}

// Close lets go of all sandboxes, which go on unless they are tied, and ends
// every call.
func (n *Node) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	n.mu.Unlock()
	if first {
		close(n.closing)
	}
	n.running.Wait()
	return n.removeOwn()
}

func (n *Node) removeOwn() error {
	if n.own == nil {
		return nil
	}
	return n.own.Remove()
}

// keptName is where in StateDir each sandbox has a directory.
const keptName = "sandboxes"

// kept returns the directory with what is kept of a sandbox, by its name on the host.
func (n *Node) kept(host string) string {
	return filepath.Join(n.config.StateDir, keptName, host)
}

// needs is what a sandbox is given of the node.
func needs(s *bulkheadv1.SandboxSpec) capacity.Resources {
	return capacity.Resources{CPUs: float64(s.GetCpus()), Memory: s.GetMemoryBytes() + capacity.Overhead}
}
