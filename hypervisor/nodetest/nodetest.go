// Package nodetest has nodes with fake workers, for tests of what is in front of
// them. A test's TestMain calls workertest.Main first.
package nodetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Config returns that of a node in a new directory, whose worker is the program
// that runs.
func Config(t testing.TB) node.Config {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: fake guests take root")
	}
	dir, err := os.MkdirTemp("", "node") // sockets have little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	guestDir := filepath.Join(dir, "guest")
	if err := os.Mkdir(guestDir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vmlinux", "initramfs.cpio", "userland.erofs"} {
		if err := os.WriteFile(filepath.Join(guestDir, name), []byte("fake"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return node.Config{
		Name: "test", RuntimeDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), CacheDir: filepath.Join(dir, "cache"),
		WorkerPath: os.Args[0], GuestDir: guestDir, Store: store.NewMemory(), Log: zaptest.NewLogger(t),
		Limits: node.Limits{Spec: spec.Policy{Images: []string{dir}}, BootTimeout: 30 * time.Second},
	}
}

// Open opens a node.
func Open(t testing.TB, c node.Config) *node.Node {
	t.Helper()
	n, err := node.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// End deletes what a node has left, closes it, and looks whether anything of it is
// there still.
func End(t testing.TB, n *node.Node, c node.Config) {
	t.Helper()
	endPools(t, n, c)
	for _, s := range n.All() {
		if err := n.Delete(context.Background(), s.GetName(), "", true); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Error(err)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	Empty(t, c.RuntimeDir)
	if c.StateDir != "" {
		Empty(t, filepath.Join(c.StateDir, "sandboxes"))
	}
}

func endPools(t testing.TB, n *node.Node, c node.Config) {
	t.Helper()
	if c.Tied {
		return
	}
	page, err := n.ListPools(&bulkheadv1.ListPoolsRequest{PageSize: 1000})
	if err != nil {
		t.Error(err)
	}
	for _, p := range page.GetPools() {
		if err := n.DeletePool(context.Background(), p.GetName(), ""); err != nil && fault.KindOf(err) != fault.NotFound {
			t.Error(err)
		}
	}
}

// Empty fails the test if a directory has anything but a lock.
func Empty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left in %s: %s", dir, e.Name())
		}
	}
}
