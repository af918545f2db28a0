package cache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fullDisk returns a cache on a tmpfs of 1 MiB.
func fullDisk(t *testing.T) *Cache {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("can't mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFullDiskIsNamedAndLeavesNoEntry(t *testing.T) {
	c := fullDisk(t)
	_, err := c.Get("part", keyOf("a"), func(w Work) error {
		return os.WriteFile(filepath.Join(w.Out, "file"), make([]byte, 4<<20), 0o644)
	})
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), c.Dir()) {
		t.Errorf("err = %v; want ErrNoSpace naming %s", err, c.Dir())
	}
	mustGet(t, c, keyOf("a"), writing("small"))
}

func TestNeed(t *testing.T) {
	c := fullDisk(t)
	if err := c.Need(64 << 10); err != nil {
		t.Errorf("Need(64 KiB) = %v", err)
	}
	if err := c.Need(64 << 20); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Need(64 MiB) = %v, want ErrNoSpace", err)
	}
}

func TestDefaultDirFollowsEnvironment(t *testing.T) {
	t.Setenv(EnvDir, "/somewhere")
	if d, err := DefaultDir(); err != nil || d != "/somewhere" {
		t.Errorf("DefaultDir = %q, %v", d, err)
	}
	t.Setenv(EnvDir, "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	if d, err := DefaultDir(); err != nil || d != "/xdg/bulkhead" {
		t.Errorf("DefaultDir = %q, %v", d, err)
	}
}
