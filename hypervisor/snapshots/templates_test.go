package snapshots

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// makeTemplate publishes one of so many CPUs.
func makeTemplate(t *testing.T, d *Dir, cpus int) string {
	t.Helper()
	s, err := d.Stage("box")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Path(), func(m *snapshot.Manifest) { m.CPUs = cpus })
	whole, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	name, err := s.PublishTemplate(whole)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "when-needed")
	d := OpenTemplates(path)
	if names, err := d.Names(); len(names) > 0 || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := d.Find(strings.Repeat("0", 12)); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if err := d.SweepTemplates(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("it is there before it is needed")
	}
	a, b := makeTemplate(t, d, 1), makeTemplate(t, d, 2)
	for _, id := range []string{a, "sha256:" + a, a[:12], "sha256:" + a[:20]} {
		if name, err := d.Find(id); name != a || err != nil {
			t.Errorf("%s is %q, %v", id, name, err)
		}
	}
	for _, id := range []string{"", "sha256:", a[:11], b + "0", "../" + a, strings.ToUpper(a), strings.Repeat("0", 64)} {
		if name, err := d.Find(id); !errors.Is(err, ErrNone) {
			t.Errorf("%s is %q, %v", id, name, err)
		}
	}
	if s, err := d.GetTemplate(a); err != nil || s.ID() != "sha256:"+a || s.Record.GetSnapshot().GetCpus() != 1 {
		t.Errorf("%v, %v", s, err)
	}
	// One that is another's is none.
	if err := errors.Join(os.RemoveAll(d.named(b)), os.Rename(d.named(a), d.named(b))); err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	if _, err := d.GetTemplate(b); !errors.As(err, &damaged) {
		t.Errorf("another's content: %v", err)
	}
	// Two that begin alike.
	if err := os.Rename(d.named(b), d.named(b[:20]+strings.Repeat("0", 44))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.named(b[:20]+strings.Repeat("1", 44)), 0o700); err != nil {
		t.Fatal(err)
	}
	if name, err := d.Find(b[:20]); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("both are %q, %v", name, err)
	}
}

// TestSweepTemplates removes what is of nobody who lives.
func TestSweepTemplates(t *testing.T) {
	path := t.TempDir()
	a := OpenTemplates(path)
	kept := makeTemplate(t, a, 1)
	mine, err := a.Stage("mine")
	if err != nil {
		t.Fatal(err)
	}
	left, err := a.Stage("left")
	if err != nil {
		t.Fatal(err)
	}
	write(t, left.Path(), nil)
	left.Release() // as the kernel does for who is killed
	if err := os.Mkdir(filepath.Join(path, gonePrefix+"x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := OpenTemplates(path).SweepTemplates(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 2 || entries[0].Name() != mine.name || entries[1].Name() != kept {
		t.Errorf("%v, %v", entries, err)
	}
	if err := mine.Close(); err != nil {
		t.Error(err)
	}
}
