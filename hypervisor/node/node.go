// Package node runs sandboxes on this host, in the process that uses it.
//
//	Spec ─▶ image: root file system ─▶ supervise: bundle, worker ─▶ machine
//	     ─▶ guest: agent ready ─▶ root mounted ─▶ processes
package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/hypervisor/image"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
)

// Config says where a node finds and keeps its things. Empty fields have good
// defaults.
type Config struct {
	RuntimeDir string // for bundles
	CacheDir   string // for root file systems
	WorkerPath string // of bulkhead-vmm; default: beside this program
	GuestDir   string // with vmlinux, initramfs.cpio, userland.erofs; default: guest/ beside this program
	// Notify hears what a user should know while waiting. nil: nobody does.
	Notify func(string)
}

// Node makes sandboxes. Its methods may be called from any goroutine.
type Node struct {
	config Config
}

// New returns a node.
func New(c Config) (*Node, error) {
	if c.RuntimeDir == "" {
		c.RuntimeDir = supervise.RuntimeDir()
	}
	if c.CacheDir == "" {
		dir, err := cache.DefaultDir()
		if err != nil {
			return nil, err
		}
		c.CacheDir = dir
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own directory: %w", err)
	}
	beside := filepath.Dir(self)
	if c.WorkerPath == "" {
		c.WorkerPath = filepath.Join(beside, "bulkhead-vmm")
	}
	if c.GuestDir == "" {
		c.GuestDir = filepath.Join(beside, "guest")
	}
	return &Node{c}, nil
}

// Names in GuestDir.
const (
	kernelName   = "vmlinux"
	initrdName   = "initramfs.cpio"
	userlandName = "userland.erofs"
)

// guestFile returns the path of a part of the guest that comes with Bulkhead.
func (n *Node) guestFile(name string) (string, error) {
	path := filepath.Join(n.config.GuestDir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("guest's %s: %w (build it with \"make guest\")", name, errors.Unwrap(err))
	}
	return path, nil
}

// images returns the store of root file systems.
func (n *Node) images() (*image.Store, error) {
	return image.Open(n.config.CacheDir, n.config.Notify)
}
