package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestChain saves a machine three times, restores the last snapshot without the others,
// and saves that.
func TestChain(t *testing.T) {
	dir := t.TempDir()
	one, two, three, four := filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "3"), filepath.Join(dir, "4")
	m := newMachine(t)
	if s := m.save(one, false); s.Version != 1 || s.Layers != 1 || s.Parent != nil || s.Whole != wholeFirst {
		t.Errorf("the first: %+v", s)
	}
	first := bytes.Clone(m.ram())
	m.write(0x70, 5, 6, 7, 4096, testSize/pageSize-1)
	m.write(0, 1<<20/pageSize) // to nothing but zeroes
	second := bytes.Clone(m.ram())
	s := m.save(two, false)
	if s.Version != 2 || s.Layers != 2 || s.StoredBytes != 5*pageSize || s.Parent.UID != "1" || s.Whole != "" {
		t.Errorf("the second: %+v", s)
	}
	if _, digest, err := Read(one); err != nil || s.Parent.Digest != digest {
		t.Errorf("parent %+v, %v", s.Parent, err)
	}
	m.write(0x71, 6, 4096, 5000)
	third := bytes.Clone(m.ram())
	if s := m.save(three, false); s.Layers != 3 || s.StoredBytes != 3*pageSize {
		t.Errorf("the third: %+v", s)
	}
	same(t, "the machine", m.ram(), third)
	for path, want := range map[string][]byte{one: first, two: second, three: third} {
		wants(t, path, want)
	}
	if err := errors.Join(RemoveAll(one), RemoveAll(two)); err != nil {
		t.Fatal(err)
	}
	wants(t, three, third)
	again := restored(t, three)
	same(t, "restored", again.ram(), third)
	again.write(0x72, 1, 6)
	fourth := bytes.Clone(again.ram())
	if s := again.save(four, false); s.Layers != 4 || s.StoredBytes != 2*pageSize || s.Parent.UID != "3" {
		t.Errorf("the fourth: %+v", s)
	}
	wants(t, four, fourth)
	wants(t, three, third)
}

// TestMoved has a parent be moved and its place taken meanwhile.
func TestMoved(t *testing.T) {
	dir := t.TempDir()
	stage, place, child := filepath.Join(dir, "stage"), filepath.Join(dir, "place"), filepath.Join(dir, "child")
	m := newMachine(t)
	m.save(stage, false)
	if err := errors.Join(os.Rename(stage, place), os.Mkdir(stage, 0o700)); err != nil {
		t.Fatal(err)
	}
	m.write(1, 9)
	if s := m.save(child, false); s.Layers != 2 {
		t.Errorf("%+v", s)
	}
	wants(t, child, m.ram())
}

// TestWhole has reasons to store all: asked for, a parent that was deleted, one that is
// elsewhere. What has changed is stored in the pause all the same.
func TestWhole(t *testing.T) {
	for name, tt := range map[string]struct {
		dir  func(t *testing.T, parent string) string
		want string
	}{
		"wanted": {func(t *testing.T, _ string) string { return t.TempDir() }, wholeWanted},
		"gone": {func(t *testing.T, parent string) string {
			if err := RemoveAll(parent); err != nil {
				t.Fatal(err)
			}
			return t.TempDir()
		}, wholeGone},
		"elsewhere": {func(t *testing.T, _ string) string {
			dir, err := os.MkdirTemp("/dev/shm", "snapshot-test-")
			if err != nil {
				t.Skip("NOT TESTED: there is no /dev/shm")
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			return dir
		}, wholeOther},
	} {
		t.Run(name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			newMachine(t).save(parent, false)
			m := restored(t, parent)
			m.write(0x33, 0, 3, 1<<20/pageSize+1, 8191)
			m.write(0, 1<<20/pageSize)
			want := bytes.Clone(m.ram())
			dir := filepath.Join(tt.dir(t, parent), "s")
			s := m.save(dir, tt.want == wholeWanted)
			if s.Layers != 1 || s.Version != 1 || s.Whole != tt.want || s.Parent != nil {
				t.Errorf("%+v", s)
			}
			if b, err := os.ReadFile(filepath.Join(dir, memoryName)); err != nil {
				t.Error(err)
			} else if full := fullPages(b); s.StoredBytes != full {
				t.Errorf("%d bytes stored, %d are", s.StoredBytes, full)
			}
			wants(t, dir, want)
			same(t, "the machine", m.ram(), want)
			m.write(0x34, 4)
			if s := m.save(dir+"2", false); s.Layers != 2 || s.StoredBytes != pageSize {
				t.Errorf("the next: %+v", s)
			}
		})
	}
}

func fullPages(b []byte) (n uint64) {
	zero := make([]byte, pageSize)
	for at := 0; at < len(b); at += pageSize {
		if !bytes.Equal(b[at:at+pageSize], zero) {
			n += pageSize
		}
	}
	return n
}

// TestManyLayers has a chain be as long as it may and no longer: all but its lowest
// layer are made into one then.
func TestManyLayers(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t)
	most := 0
	for i := range 2*maxLayers + 3 {
		m.write(byte(i+1), 2+i, 3+i, 100)
		path := filepath.Join(dir, string(rune('a'+i)))
		s := m.save(path, false)
		most = max(most, s.Layers)
		want := i + 1
		if i >= maxLayers {
			want = (i-maxLayers)%(maxLayers-2) + 3
		}
		if s.Layers != want {
			t.Errorf("snapshot %d has %d layers, want %d", i, s.Layers, want)
		}
		wants(t, path, m.ram())
		if i%3 == 1 {
			m.end()
			m = restored(t, path)
		}
	}
	if most != maxLayers {
		t.Errorf("%d layers at most", most)
	}
}

// TestUpperLayersGone saves a machine that goes on from a snapshot of which only a part
// is still anybody's, as after a fork: that part is shared.
func TestUpperLayersGone(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t)
	m.save(filepath.Join(dir, "kept"), false)
	m.write(0x41, 1, 2)
	m.save(filepath.Join(dir, "fork"), false)
	if err := RemoveAll(filepath.Join(dir, "fork")); err != nil {
		t.Fatal(err)
	}
	m.write(0x42, 2, 3)
	s := m.save(filepath.Join(dir, "next"), false)
	if s.Layers != 3 || s.StoredBytes != 2*pageSize {
		t.Errorf("%+v", s)
	}
	wants(t, filepath.Join(dir, "next"), m.ram())
}

// TestFailedPublish has the directory not come to the disk: there is no snapshot then,
// and what was there before is.
func TestFailedPublish(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(t.TempDir(), "s")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("the disk is broken")
	w.syncPlace = func(string) error { return failure }
	if err := w.Memory(t.Context(), m.mem); err != nil {
		t.Fatal(err)
	}
	if err := w.Publish(Manifest{MemoryBytes: testSize}, state()); !errors.Is(err, failure) || isThere(path) {
		t.Errorf("%v", err)
	}
	if err := w.Discard(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestUndo has a machine be independent again of a snapshot that came to nothing.
func TestUndo(t *testing.T) {
	m := newMachine(t)
	want := bytes.Clone(m.ram())
	w, err := Create(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Memory(t.Context(), m.mem); err != nil {
		t.Fatal(err)
	}
	if ok, err := w.Rebase(m.mem); !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.Undo(m.mem)
	if _, err := w.files[0].file.WriteAt(bytes.Repeat([]byte{9}, pageSize), 0); err != nil { // what the disk has made of it
		t.Fatal(err)
	}
	same(t, "the machine", m.ram()[:pageSize], want[:pageSize])
	if err := w.Discard(); err != nil {
		t.Error(err)
	}
}
