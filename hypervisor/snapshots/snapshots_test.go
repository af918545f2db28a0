package snapshots

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// write writes as much of a snapshot as is read here.
func write(t *testing.T, path string, change func(*snapshot.Manifest)) {
	t.Helper()
	owner, err := Owner(&storev1.Snapshot{RequestId: "r", Images: []string{"/x"}, Snapshot: &bulkheadv1.Snapshot{Sandbox: "box", Uid: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &snapshot.Manifest{
		Version: 2, Layers: 3, Parent: &snapshot.Parent{UID: "pu", Digest: "pd"}, Created: time.Unix(1e9, 5).UTC(), Program: "p", HostProfile: "h", CPUVendor: "v", CPUs: 2, MemoryBytes: 1 << 30,
		Devices: []snapshot.Device{{Name: "blk0", Type: "blk", Bytes: 7}}, StoredBytes: 5, Pause: time.Second,
		Owner: owner,
	}
	if change != nil {
		change(m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	sums := fmt.Appendf(nil, "%x  manifest.json\n", sha256.Sum256(text))
	for name, b := range map[string][]byte{"manifest.json": text, "SHA256SUMS": sums} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestManifest has what package snapshot writes be read here.
func TestManifest(t *testing.T) {
	d := open(t)
	write(t, d.named("s"), nil)
	s, err := d.Get("s")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Record.GetSnapshot()
	if s.Record.GetRequestId() != "r" || r.GetName() != "s" || r.GetSandbox() != "box" || r.GetUid() != "u" || r.GetCreateTime().AsTime() != time.Unix(1e9, 5).UTC() ||
		r.GetVersion() != "p" || r.GetHostProfile() != "h" || r.GetCpuVendor() != "v" || r.GetCpus() != 2 || r.GetMemoryBytes() != 1<<30 || r.GetStoredBytes() != 5 ||
		r.GetPause().AsDuration() != time.Second || r.GetDevices()[0].GetStoredBytes() != 7 || r.GetLayers() != 3 || r.GetParentUid() != "pu" || r.GetParentDigest() != "pd" || s.Record.GetImages()[0] != "/x" {
		t.Errorf("%v", s.Record)
	}
}

func TestDamaged(t *testing.T) {
	d := open(t)
	for name, change := range map[string]func(*snapshot.Manifest){
		"nobody's": func(m *snapshot.Manifest) { m.Owner = nil },
		"other":    func(m *snapshot.Manifest) { m.Owner = json.RawMessage(`{"images":1}`) },
		"nothing":  func(m *snapshot.Manifest) { m.Owner = json.RawMessage(`{"later":1}`) },
		"large":    func(m *snapshot.Manifest) { m.Program = strings.Repeat("x", 8<<20) },
	} {
		write(t, d.named("s"), change)
		var damaged *DamagedError
		if s, err := d.Get("s"); !errors.As(err, &damaged) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if err := d.Remove("s", ""); err != nil || d.Has("s") {
		t.Errorf("removed: %v", err)
	}
	if err := d.Remove("s", ""); !errors.Is(err, ErrNone) {
		t.Errorf("removed again: %v", err)
	}
}

// TestNotDamaged has errors that aren't the snapshot's fault: nobody is told to delete it.
func TestNotDamaged(t *testing.T) {
	d := open(t)
	write(t, d.named("later"), func(m *snapshot.Manifest) { m.Version = snapshot.Version + 1 })
	write(t, d.named("s"), nil)
	_, err := d.Get("later")
	var (
		damaged *DamagedError
		later   *snapshot.VersionError
	)
	if !errors.As(err, &later) || errors.As(err, &damaged) || !strings.Contains(err.Error(), "later") {
		t.Errorf("of a later version: %v", err)
	}
	err = withoutDescriptors(t, func() error {
		_, err := d.Get("s")
		return err
	})
	if !errors.Is(err, unix.EMFILE) || errors.As(err, &damaged) {
		t.Errorf("without descriptors: %v", err)
	}
}

// withoutDescriptors calls do while this process can open nothing.
func withoutDescriptors(t *testing.T, do func() error) error {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	return do()
}

// TestNamesOfOthers are those of nothing in the directory, and of work under way.
func TestNamesOfOthers(t *testing.T) {
	d := open(t)
	stage, err := d.Stage("box")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.path), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../file", stage.name, "a/b", "\x00"} {
		if d.Has(name) {
			t.Errorf("has %q", name)
		}
		if err := d.Remove(name, ""); !errors.Is(err, ErrNone) {
			t.Errorf("remove %q: %v", name, err)
		}
		if d.Forking(name) {
			t.Errorf("%q is a fork", name)
		}
	}
}

func TestStages(t *testing.T) {
	d := open(t)
	stage, err := d.Stage("a-b.c-d")
	if err != nil || stage.Sandbox() != "a-b.c-d" {
		t.Fatalf("%v, %v", stage, err)
	}
	write(t, stage.Path(), nil)
	if err := stage.Publish("s"); err != nil {
		t.Fatal(err)
	}
	write(t, stage.Path(), nil)
	if err := stage.Publish("s"); !errors.Is(err, ErrTaken) {
		t.Errorf("published twice: %v", err)
	}
	f, err := d.Fork()
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Hand(f); err != nil {
		t.Fatal(err)
	}
	if s, err := d.OpenFork(f.Name()); err != nil || s.Path != f.Path() {
		t.Errorf("%v, %v", s, err)
	}
	write(t, stage.Path(), nil)
	if err := os.Mkdir(d.named(gonePrefix+"x"), 0o700); err != nil {
		t.Fatal(err)
	}
	stages, forks, err := d.Sweep(func(name string, err error) { t.Error(name, err) })
	if err != nil || len(stages) != 1 || stages[0].Sandbox() != "a-b.c-d" || len(forks) != 1 || forks[0].Name() != f.Name() {
		t.Fatalf("swept: %v, %v, %v", stages, forks, err)
	}
	if err := errors.Join(stages[0].Close(), f.End(), f.End()); err != nil {
		t.Error(err)
	}
	if _, err := d.OpenFork(f.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a fork that is over: %v", err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"s"}) {
		t.Errorf("names %q, %v", names, err)
	}
}

// TestUnsynced has a snapshot not be there whose name may not have come to the disk.
func TestUnsynced(t *testing.T) {
	d := open(t)
	stage, err := d.Stage("box")
	if err != nil {
		t.Fatal(err)
	}
	write(t, stage.Path(), nil)
	failure := errors.New("the disk is gone")
	d.sync = func(string) error { return failure }
	if err := stage.Publish("s"); !errors.Is(err, failure) || d.Has("s") {
		t.Errorf("published: %v, and is there: %v", err, d.Has("s"))
	}
	d.sync = syncDir
	if err := stage.Publish("s"); err != nil || !d.Has("s") {
		t.Errorf("published again: %v", err)
	}
}

// TestSweepAfterMerge: what a merge was killed at is removed.
func TestSweepAfterMerge(t *testing.T) {
	d := open(t)
	write(t, d.named("s"), nil)
	write(t, d.named(mergePrefix+"s-123"), nil)
	if _, _, err := d.Sweep(func(name string, err error) { t.Error(name, err) }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(d.path); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if err := d.Merge(t.Context(), "none"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	var damaged *DamagedError
	if err := d.Merge(t.Context(), "s"); !errors.As(err, &damaged) { // it has only a manifest
		t.Error(err)
	}
}

// TestSweepFreesRoom: of a snapshot that was being written only the sign stays.
func TestSweepFreesRoom(t *testing.T) {
	d := open(t)
	stage, err := d.Stage("box")
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(d.named(stage.name), ".saving-snapshot-1")
	if err := errors.Join(os.Mkdir(half, 0o700), os.WriteFile(filepath.Join(half, "memory"), []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	stages, forks, err := d.Sweep(func(name string, err error) { t.Error(name, err) })
	if err != nil || len(stages) != 1 || stages[0].Sandbox() != "box" || len(forks) != 0 {
		t.Fatal(stages, forks, err)
	}
	if left, err := os.ReadDir(d.named(stage.name)); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
