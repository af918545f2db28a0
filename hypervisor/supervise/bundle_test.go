package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestNamesAreTakenWhileHeld(t *testing.T) {
	root := t.TempDir()
	b, err := NewBundle(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBundle(root, "web"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("second bundle: %v, want ErrNameTaken", err)
	}
	if err := b.Remove(); err != nil {
		t.Fatal(err)
	}
	again, err := NewBundle(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	again.Remove()
}

// TestDeadBundlesAreSwept drops the lock as the death of a process does.
func TestDeadBundlesAreSwept(t *testing.T) {
	root := t.TempDir()
	dead, err := NewBundle(root, "dead")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead.Path("vsock.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close()
	live, err := NewBundle(root, "live")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Remove()
	if err := Sweep(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a dead sandbox left is still there: %v", err)
	}
	if _, err := os.Stat(live.Dir); err != nil {
		t.Errorf("a live bundle was swept: %v", err)
	}
}

// TestForeignDirectoriesStay: a runtime directory may hold what isn't ours.
func TestForeignDirectoriesStay(t *testing.T) {
	root := t.TempDir()
	foreign := filepath.Join(root, "documents")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Remove()
	if err := Sweep(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}

// TestOthersCanWrite: whoever can write to it could take a bundle's place.
func TestOthersCanWrite(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := NewBundle(root, "web"); err == nil || !strings.Contains(err.Error(), EnvRuntimeDir) {
		t.Errorf("a bundle where everybody can write: %v", err)
	}
}

// TestEmptyBundleIsNobodys is what a kill between two steps leaves.
func TestEmptyBundleIsNobodys(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "web"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"empty", "foreign/file", ".hidden"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepEmpty(root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"web": true, "empty": false, "foreign": true, ".hidden": true} {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Remove(); err != nil {
		t.Fatal(err)
	}
}

// TestManyAtOnce makes and removes bundles while others sweep.
func TestManyAtOnce(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 25 {
				b, err := NewBundle(root, fmt.Sprint("box", i))
				if err == nil {
					err = b.Remove()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "-x", ".x", "a b", "ü", strings.Repeat("x", 49), "a\n"} {
		if _, err := NewBundle(t.TempDir(), name); err == nil || !strings.Contains(err.Error(), "invalid sandbox name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRuntimeDirOfRoot(t *testing.T) {
	t.Setenv(EnvRuntimeDir, "")
	if os.Geteuid() == 0 && RuntimeDir() != "/run/bulkhead" {
		t.Errorf("root's bundles go to %s", RuntimeDir())
	}
	if !filepath.IsAbs(RuntimeDir()) {
		t.Errorf("%s is not absolute", RuntimeDir())
	}
}
