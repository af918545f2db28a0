package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestSnapshotBytes: a fake snapshot takes some ten pages of the disk.
func TestSnapshotBytes(t *testing.T) {
	for name, limit := range map[string]func(*node.Config, uint64){
		"of a client": func(c *node.Config, n uint64) { c.SnapshotBytesPerClient = n },
		"of the node": func(c *node.Config, n uint64) { c.SnapshotBytes = n },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, func(c *node.Config) { limit(c, 70<<10) })
			f.start("box", nil, "sleep", "1000")
			f.save("box", "s1")
			b := f.archive("s1")
			request := &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "s2"}
			for range 3 { // there is room for a part of it, and for nothing
				_, err := f.Snapshot(t.Context(), request, "tester")
				if err == nil {
					request.Name = "s3"
					continue
				}
				f.kindIs(err, fault.Exhausted, fault.ReasonSnapshotBytes)
				says(t, err, "delete some first")
			}
			_, err := f.take("x", b)
			f.kindIs(err, fault.Exhausted, fault.ReasonSnapshotBytes)
			f.nothingUnderWay()
			_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "others"}, "other")
			if (err == nil) != (name == "of a client") {
				t.Errorf("another client: %v", err)
			}
			c := f.config.Limits
			f.must(f.SetLimits(node.Limits{Spec: c.Spec}))
			_, err = f.take("x", b)
			f.must(err)
		})
	}
}

func TestSnapshotReserve(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	b := f.archive("golden")
	f.must(f.SetLimits(node.Limits{Spec: f.config.Limits.Spec, SnapshotReserve: 0.9999}))
	_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	says(t, err, "are not for snapshots")
	_, err = f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	_, err = f.take("x", b)
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	f.nothingUnderWay()
	f.exec("box", "true")
}

// TestReserveUsedUp: there was room as the snapshot began, and isn't when it is written.
func TestReserveUsedUp(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowSave}})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r := &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "large", RequestId: "r"}
	if _, err := f.Snapshot(short, r, "tester"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("saved in no time: %v", err)
	}
	f.must(f.SetLimits(node.Limits{Spec: f.config.Limits.Spec, SnapshotReserve: 0.9999}))
	_, err := f.Snapshot(t.Context(), r, "tester") // waits for the first
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	_, err = f.GetSnapshot("large")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
	f.nothingUnderWay()
	f.exec("box", "true")
}

// TestMergeBounds: what is shared no longer counts.
func TestMergeBounds(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "s")
	f.chain("s")
	limits := node.Limits{Spec: f.config.Limits.Spec}
	refused := func(reason string, change func(*node.Limits)) {
		t.Helper()
		bound := limits
		change(&bound)
		f.must(f.SetLimits(bound))
		_, err := f.MergeSnapshot(t.Context(), "s", "")
		f.kindIs(err, fault.Exhausted, reason)
	}
	refused(fault.ReasonNoSpace, func(l *node.Limits) { l.SnapshotReserve = 0.9999 })
	refused(fault.ReasonSnapshotBytes, func(l *node.Limits) { l.SnapshotBytesPerClient = 5 << 10 })
	refused(fault.ReasonSnapshotBytes, func(l *node.Limits) { l.SnapshotBytes = 5 << 10 })
	s, err := f.GetSnapshot("s")
	f.must(err)
	if s.GetLayers() != 2 {
		t.Errorf("after it was refused: %v", s)
	}
	limits.SnapshotBytesPerClient, limits.SnapshotBytes = 1<<20, 1<<20
	f.must(f.SetLimits(limits))
	for range 2 { // and of one layer there is nothing to do
		_, err = f.MergeSnapshot(t.Context(), "s", "")
		f.must(err)
	}
}

// TestImportsPerClient counts them as snapshots that were taken.
func TestImportsPerClient(t *testing.T) {
	f := open(t, func(c *node.Config) { c.PerClient = 2 })
	f.start("box", nil, "sleep", "1000")
	f.save("box", "s1")
	b := f.archive("s1")
	_, err := f.take("s2", b)
	f.must(err)
	_, err = f.take("s3", b)
	f.kindIs(err, fault.Exhausted, fault.ReasonTooManySnapshots)
}

// TestOthersDirectories are none of a node's.
func TestOthersDirectories(t *testing.T) {
	f := open(t)
	f.must(f.Close())
	for dir, mode := range map[string]os.FileMode{"": 0o777, "snapshots": 0o755} {
		path := filepath.Join(f.config.StateDir, dir)
		f.must(os.Chmod(path, mode))
		if n, err := node.Open(f.config); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s with mode %#o: %v, %v", path, mode, n, err)
		}
		f.must(os.Chmod(path, 0o700))
	}
	f.must(os.Chown(f.config.StateDir, 65534, 0))
	if _, err := node.Open(f.config); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Error(err)
	}
	f.must(os.Chown(f.config.StateDir, 0, 0))
	f.must(os.Chmod(f.config.StateDir, 0o711)) // who knows a name in it may go there
	f.reopen()
}

// TestLeftoverThatStays: what can't be removed keeps no node from opening.
func TestLeftoverThatStays(t *testing.T) {
	f := open(t)
	f.must(f.Close())
	busy := f.snapshotDir(".gone-x/busy")
	f.must(os.MkdirAll(busy, 0o700))
	f.must(os.MkdirAll(f.snapshotDir(".import-y/blobs"), 0o700))
	f.must(unix.Mount("tmpfs", busy, "tmpfs", 0, "size=64k"))
	defer unix.Unmount(busy, unix.MNT_DETACH)
	f.reopen()
	if left, err := filepath.Glob(f.snapshotDir(".*")); err != nil || len(left) != 1 {
		t.Errorf("left %q, %v", left, err)
	}
	f.must(unix.Unmount(busy, unix.MNT_DETACH))
	f.restart(nil)
	f.nothingUnderWay()
}
