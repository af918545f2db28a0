package snapshots

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

func TestScratch(t *testing.T) {
	d := open(t)
	f, err := d.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, bytes.NewReader(make([]byte, 5000))); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(d.path); err != nil || len(left) != 0 {
		t.Errorf("it has a name: %v, %v", left, err)
	}
}

// TestRemoveOnlyThat: while others delete a snapshot and make another one of its
// name, who names the first one deletes no other.
func TestRemoveOnlyThat(t *testing.T) {
	d := open(t)
	owned := func(uid string) func(*snapshot.Manifest) {
		return func(m *snapshot.Manifest) {
			m.Owner, _ = Owner(&storev1.Snapshot{Images: []string{"/x"}, Snapshot: &bulkheadv1.Snapshot{Uid: uid}})
		}
	}
	for range 200 {
		write(t, d.named("s"), owned("first"))
		stage, err := d.Stage("box")
		if err != nil {
			t.Fatal(err)
		}
		write(t, stage.Path(), owned("second"))
		var all sync.WaitGroup
		all.Go(func() { d.Remove("s", "first") })
		all.Go(func() { d.Remove("s", "first") })
		all.Go(func() {
			for stage.Publish("s") != nil {
			}
		})
		all.Wait()
		if s, err := d.Get("s"); err != nil || s.Record.GetSnapshot().GetUid() != "second" {
			t.Fatalf("%v, %v", s, err)
		}
		if err := errors.Join(d.Remove("s", "second"), stage.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o755, 0o701, 0o770} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "chmod 700 "+dir) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: other users' directories take root")
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Error(err)
	}
}

// TestSweepGoesOn: what can't be removed keeps nobody from the rest.
func TestSweepGoesOn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: a mount takes root")
	}
	d := open(t)
	for _, name := range []string{gonePrefix + "a", gonePrefix + "b", importPrefix + "c", stagePrefix + "box-000000000000"} {
		if err := os.MkdirAll(filepath.Join(d.named(name), "busy"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{gonePrefix + "a", stagePrefix + "box-000000000000"} {
		busy := filepath.Join(d.named(name), "busy")
		if err := unix.Mount("tmpfs", busy, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(busy, unix.MNT_DETACH)
	}
	told := map[string]bool{}
	stages, _, err := d.Sweep(func(name string, err error) { told[name] = err != nil })
	if err != nil || len(stages) != 1 || len(told) != 2 || !told[gonePrefix+"a"] {
		t.Errorf("%v, %v, %v", stages, told, err)
	}
	if left, err := os.ReadDir(d.path); err != nil || len(left) != 2 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestRoom(t *testing.T) {
	d := open(t)
	if err := d.CheckRoom(1, 0); err != nil {
		t.Error(err)
	}
	if err := OpenTemplates(filepath.Join(d.path, "a", "b")).CheckRoom(1, 0); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		bytes int64
		share float64
	}{{1 << 60, 0}, {0, 1.1}} {
		var room *RoomError
		if err := d.CheckRoom(tt.bytes, tt.share); !errors.As(err, &room) || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%v: %v", tt, err)
		}
	}
}
