package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestMerge merges a chain that others share files with.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	parent, child, grandchild := filepath.Join(dir, "parent"), filepath.Join(dir, "child"), filepath.Join(dir, "grandchild")
	m := newMachine(t)
	m.save(parent, false)
	first := bytes.Clone(m.ram())
	m.write(0x51, 1, 2, 300)
	m.write(0, 1<<20/pageSize)
	m.save(child, false)
	second := bytes.Clone(m.ram())
	m.write(0x52, 2)
	m.save(grandchild, false)
	running := restored(t, child)
	before, _, err := Read(child)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(child, ".kept"), []byte("by somebody"), 0o600),
		os.WriteFile(filepath.Join(child, workingSetTemp+"1"), nil, 0o600), Merge(t.Context(), child, nil)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(child, ".kept")); string(b) != "by somebody" {
		t.Errorf("%q, %v", b, err)
	}
	if left, err := filepath.Glob(filepath.Join(child, workingSetTemp+"*")); err != nil || len(left) > 0 {
		t.Errorf("what is about to be another's is there: %q, %v", left, err)
	}
	s, _, err := Read(child)
	if err != nil || s.Layers != 1 || s.Version != 1 || s.Whole != merged || s.Parent != nil || s.UID != before.UID || !s.Created.Equal(before.Created) {
		t.Errorf("%+v, %v", s, err)
	}
	wants(t, parent, first)
	wants(t, child, second)
	wants(t, grandchild, m.ram())
	same(t, "who goes on from it", running.ram(), second)
	out := filepath.Join(dir, "disk")
	opened, err := Open(child)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if ok, err := opened.CopyTo(out, "blk0"); !ok || err != nil {
		t.Error(ok, err)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, diskContent()) {
		t.Errorf("the disk is another (%v)", err)
	}
	running.write(0x53, 7) // what it goes on from has only one layer left that is anybody's
	if s := running.save(filepath.Join(dir, "later"), false); s.Layers != 3 {
		t.Errorf("%+v", s)
	}
	wants(t, filepath.Join(dir, "later"), running.ram())
	if err := Merge(t.Context(), parent, nil); err != nil { // it is whole
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// replacer replaces a directory when it is locked.
type replacer struct {
	t    *testing.T
	path string
}

func (r replacer) Lock() {
	if err := errors.Join(os.Rename(r.path, r.path+"-before"), os.Mkdir(r.path, 0o700)); err != nil {
		r.t.Error(err)
	}
}

func (r replacer) Unlock() {}

// TestMergeOfAnother has the snapshot be replaced while it is merged: the other one
// stays.
func TestMergeOfAnother(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t)
	m.save(filepath.Join(dir, "1"), false)
	m.save(filepath.Join(dir, "2"), false)
	path := filepath.Join(dir, "2")
	if err := Merge(t.Context(), path, replacer{t, path}); !errors.Is(err, ErrReplaced) {
		t.Error(err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
