package snapshots

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Words for the process that is killed.
const (
	childDir     = "SNAPSHOTS_TEST_DIR"
	childArchive = "SNAPSHOTS_TEST_ARCHIVE"
	childStep    = "SNAPSHOTS_TEST_STEP"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(importAndDie())
	}
	os.Exit(m.Run())
}

// saveWhole makes a snapshot that is one, at path.
func saveWhole(t *testing.T, path string) {
	t.Helper()
	m, err := memory.New(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	owner, err := Owner(&storev1.Snapshot{RequestId: "r", Images: []string{"/x", "", "/y"}, Snapshot: &bulkheadv1.Snapshot{Sandbox: "box", Uid: "u", Client: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	w, err := snapshot.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	manifest := snapshot.Manifest{MemoryBytes: 32 << 20, Created: time.Unix(1e9, 0), Owner: owner}
	if err := errors.Join(m.WriteAt([]byte("something"), 5<<20), w.Memory(t.Context(), m), w.Publish(manifest, &statev1.Machine{}), w.Discard()); err != nil {
		t.Fatal(err)
	}
}

// archiveOf writes a whole snapshot's archive to a file, and returns its path.
func archiveOf(t *testing.T, format archive.Format) string {
	t.Helper()
	d := open(t)
	saveWhole(t, d.named("s"))
	path := filepath.Join(t.TempDir(), "archive")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	source := archive.Source{Dir: d.named("s"), Info: archive.Info{Name: "s", Images: make([]*archive.Image, 3)}, Scratch: d.Scratch}
	if err := errors.Join(archive.Write(t.Context(), f, format, source), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// importTo imports an archive as node does, to a name.
func importTo(d *Dir, path, name string, reached func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	i, err := d.Import()
	if err != nil {
		return err
	}
	defer i.Close()
	reached("begin")
	if _, _, err := archive.Read(context.Background(), f, archive.Target{Dir: i.Dir(), Reached: reached}); err != nil {
		return err
	}
	if _, err := i.Open(); err != nil {
		return err
	}
	known := &Imported{Client: "tester", Time: time.Unix(1e9, 0).UTC(), Images: []*LocalImage{{Path: "/here", Digest: "d", Stamp: "s"}, nil, {Path: "/there"}}}
	if err := i.Publish(name, known); err != nil {
		return err
	}
	reached("published")
	err = i.Close()
	reached("closed")
	return err
}

// TestImported is what a node knows of a snapshot beside what comes with it.
func TestImported(t *testing.T) {
	d, path := open(t), archiveOf(t, archive.OCI)
	none := func(string) {}
	if err := importTo(d, path, "a", none); err != nil {
		t.Fatal(err)
	}
	if err := importTo(d, path, "a", none); !errors.Is(err, ErrTaken) {
		t.Errorf("twice: %v", err)
	}
	s, err := d.Get("a")
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Record; r.GetRequestId() != "" || r.GetSnapshot().GetClient() != "tester" || r.GetSnapshot().GetUid() != "u" ||
		strings.Join(r.GetImages(), " ") != "/here  /there" {
		t.Errorf("%v", r)
	}
	s.Imported.Images[0].Stamp = "later"
	if err := s.Remember(); err != nil {
		t.Fatal(err)
	}
	if s, err = d.Get("a"); err != nil || s.Imported.Images[0].Stamp != "later" {
		t.Errorf("%+v, %v", s, err)
	}
	var u Usage
	if err := d.Count(&u, "a"); err != nil || u.Bytes < 8<<10 || u.Bytes > 1<<20 {
		t.Errorf("it takes %d bytes, %v", u.Bytes, err)
	}
	before := u.Bytes
	if err := d.Count(&u, "a"); err != nil || u.Bytes != before {
		t.Errorf("counted again it takes %d bytes, %v", u.Bytes, err)
	}
	for what, text := range map[string]string{"nothing": "", "too few images": `{"images":[]}`, "an endless file": strings.Repeat("x", maxImported+1)} {
		if err := os.WriteFile(filepath.Join(s.Path, importedName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError
		if _, err := d.Get("a"); !errors.As(err, &damaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
