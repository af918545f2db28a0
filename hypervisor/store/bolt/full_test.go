package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store/storetest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// disk returns the directory of a disk of so many bytes.
func disk(t *testing.T, size int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: mounting a small disk takes root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room that there is on a disk. Removing the file gives it back.
func fill(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "other")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return path
}

// sized returns a sandbox's record that takes some room.
func sized(name string, size int) *storev1.Record {
	r := storetest.Record(name)
	r.Sandbox.Spec = &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{strings.Repeat("x", size)}}}
	return r
}

// TestFull has sandboxes that begin until the disk is full, and other files take
// what is left of it. All of them can be changed and end; a next one can't begin
// until there is room.
func TestFull(t *testing.T) {
	for most, size := range map[int]int{100: 1 << 20, 3_000: 2 << 20, 50_000: 4 << 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			dir := disk(t, size)
			path := filepath.Join(dir, "state")
			s := open(t, path)
			random := rand.New(rand.NewPCG(1, uint64(most)))
			var begun []*storev1.Record
			for {
				r := sized(fmt.Sprintf("s%d", len(begun)), random.IntN(most))
				_, err := s.Put(r, store.Change{Type: modified, Optional: true})
				if errors.Is(err, store.ErrFull) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				begun = append(begun, r)
			}
			other := fill(t, dir)
			for range 2 { // for the second time there is nothing that could be forgotten at once
				for i, r := range begun {
					changed(t, s, r)
					if i == len(begun)/2 {
						s = reopened(t, s, path, len(begun))
					}
				}
			}
			if _, err := s.Put(sized("next", 2*reserve), store.Change{Type: modified, Optional: true}); !errors.Is(err, store.ErrFull) {
				t.Errorf("another one begins: %v", err)
			}
			if err := s.SetDraining(true); err != nil {
				t.Error(err)
			}
			for _, r := range begun {
				changed(t, s, r)
				if _, err := s.Delete(r, "deleted"); err != nil {
					t.Fatalf("%d sandboxes of up to %d bytes: delete %s: %v", len(begun), most, r.GetSandbox().GetName(), err)
				}
			}
			s = reopened(t, s, path, 0)
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(sized("next", most), store.Change{Type: modified, Optional: true}); err != nil {
				t.Errorf("there is room again: %v", err)
			}
			reopened(t, s, path, 1).Close()
			t.Logf("%d sandboxes of up to %d bytes", len(begun), most)
		})
	}
}

func changed(t *testing.T, s *Store, r *storev1.Record) {
	t.Helper()
	before := s.Version()
	version, err := s.Put(r, store.Change{Type: modified})
	if err != nil {
		t.Fatalf("change %s: %v", r.GetSandbox().GetName(), err)
	}
	events, err := s.Events(before, 10)
	if err != nil || len(events) != 1 || events[0].GetSandbox().GetResourceVersion() != version || version != before+1 {
		t.Fatalf("version %d after %d: %d changes, %v", version, before, len(events), err)
	}
}

// reopened closes a store and opens it again.
func reopened(t *testing.T, s *Store, path string, sandboxes int) *Store {
	t.Helper()
	version := s.Version()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	records, err := s.Records()
	if err != nil || len(records) != sandboxes || s.Version() != version {
		t.Fatalf("%d sandboxes at version %d, there were %d at version %d: %v", len(records), s.Version(), sandboxes, version, err)
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatalf("the file isn't sound: %v", err)
	}
	return s
}

// TestNoRoomToBegin: there is no state yet, and no half of one is left.
func TestNoRoomToBegin(t *testing.T) {
	dir := disk(t, 128<<10)
	for _, spare := range []int{0, 4096, 12288, 20480, 65536} {
		other := fill(t, dir)
		if err := os.Truncate(other, int64(128<<10-spare)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "state")
		s, err := Open(path)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), path) {
			t.Errorf("with %d bytes: %v", spare, err)
		}
		if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
			t.Errorf("with %d bytes: left %v", spare, left)
		}
	}
}

// TestKilledUnfinished finds what a process left that was killed while it began.
func TestKilledUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	reopened(t, open(t, path), path, 0).Close()
}

// TestKilledWhenFull is TestKilled on a disk that is full.
func TestKilledWhenFull(t *testing.T) {
	dir := disk(t, 2<<20)
	path := filepath.Join(dir, "state")
	s := open(t, path)
	changed(t, s, storetest.Record("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, dir)
	for i := range 10 {
		killOne(t, path, time.Duration(20+20*i)*time.Millisecond)
	}
}
