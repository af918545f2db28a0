package snapshot

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// machine is one that is saved and restored: its memory, and what that is from, as a
// worker keeps them.
type machine struct {
	t    testing.TB
	mem  *memory.Memory
	base *Snapshot
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	mem, err := newGuest()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, mem: mem}
	t.Cleanup(m.end)
	return m
}

// restored returns one that goes on from a snapshot.
func restored(t testing.TB, dir string) *machine {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t, mem, s}
	t.Cleanup(m.end)
	return m
}

func (m *machine) end() {
	if m.base != nil {
		m.base.Close()
		m.base = nil
	}
	m.mem.Close()
}

func (m *machine) ram() []byte { return m.mem.Regions()[0].Bytes }

// write writes to a byte of each page.
func (m *machine) write(value byte, pages ...int) {
	for _, p := range pages {
		m.ram()[p*pageSize] = value
	}
}

// save makes a snapshot at dir.
func (m *machine) save(dir string, whole bool) *Manifest {
	m.t.Helper()
	if err := m.trySave(dir, whole, func(string) {}); err != nil {
		m.t.Fatal(err)
	}
	manifest, _, err := Read(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	return manifest
}

func (m *machine) trySave(dir string, whole bool, reached func(string)) (err error) {
	w, err := Create(dir)
	if err != nil {
		return err
	}
	w.reached = reached
	defer func() { err = errors.Join(err, w.Discard()) }()
	ctx := m.t.Context()
	if err := errors.Join(w.Prepare(ctx, m.base, whole), w.Memory(ctx, m.mem)); err != nil {
		return err
	}
	disk := filepath.Join(m.t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, diskContent(), 0o600), w.Copy(ctx, "blk0", disk)); err != nil {
		return err
	}
	rebased, err := w.Rebase(m.mem)
	if err != nil {
		return err
	}
	if err := w.Publish(Manifest{MemoryBytes: testSize, UID: filepath.Base(dir)}, state()); err != nil || !rebased {
		return err
	}
	next, err := w.Open()
	if m.base != nil {
		m.base.Close()
	}
	m.base = next
	return err
}

// wants fails the test unless the snapshot at dir has this memory, and was known to be
// whole before it was opened.
func wants(t testing.TB, dir string, want []byte) {
	t.Helper()
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := open(d, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.isVerified(d) {
		t.Errorf("%s: nobody knows that it is whole", dir)
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	m, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	same(t, dir, m.Regions()[0].Bytes, want)
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	for at := 0; at < len(want); at += pageSize {
		if !bytes.Equal(got[at:at+pageSize], want[at:at+pageSize]) {
			t.Fatalf("%s: page %d is another: it begins with %d, want %d", what, at/pageSize, got[at], want[at])
		}
	}
}

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
	if err := errors.Join(os.WriteFile(filepath.Join(child, ".kept"), []byte("by somebody"), 0o600), Merge(t.Context(), child, nil)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(child, ".kept")); string(b) != "by somebody" {
		t.Errorf("%q, %v", b, err)
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

// TestChainDamage flips bits of each file of a chain, and cuts each: Open names the
// file.
func TestChainDamage(t *testing.T) {
	m := newMachine(t)
	dir := filepath.Join(t.TempDir(), "2")
	m.save(dir+"-parent", false)
	m.write(1, 3, 9, 10)
	m.save(dir, false)
	for _, name := range []string{"memory", "memory.map", "memory.sums", "memory.1", "memory.1.sums"} {
		for what, change := range map[string]func([]byte) []byte{
			"first bit": func(b []byte) []byte { b[0] ^= 1; return b },
			"last bit":  func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
			"cut":       func(b []byte) []byte { return b[:len(b)-1] },
			"longer":    func(b []byte) []byte { return append(b, 0) },
			"empty":     func([]byte) []byte { return nil },
			"gone":      nil,
		} {
			copied := copyDir(t, dir)
			path := filepath.Join(copied, name)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.Remove(path)
			}
			if err == nil && change != nil {
				err = os.WriteFile(path, change(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			refused(t, copied, name+", "+what)
			if err := Merge(t.Context(), copied, nil); err == nil {
				t.Errorf("%s, %s: it is merged", name, what)
			}
		}
	}
}

// TestRandomChains writes, releases, saves, restores, merges and deletes at random, and
// holds each snapshot against what the memory was.
func TestRandomChains(t *testing.T) {
	const pages = testSize / pageSize
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	m := newMachine(t)
	saved := map[string][]byte{}
	pick := func() string {
		names := make([]string, 0, len(saved))
		for name := range saved {
			names = append(names, name)
		}
		slices.Sort(names)
		return names[r.IntN(len(names))]
	}
	for step := range 24 {
		for range 1 + r.IntN(200) {
			at := r.IntN(pages)
			n := min(1+r.IntN(20), pages-at)
			if r.IntN(4) == 0 {
				if err := m.mem.Release(m.ram()[at*pageSize : (at+n)*pageSize]); err != nil {
					t.Fatal(err)
				}
				continue
			}
			for i := at; i < at+n; i++ {
				m.write(byte(r.IntN(3)), i) // often the same, or zero
			}
		}
		path := filepath.Join(dir, string(rune('a'+step/26))+string(rune('a'+step%26)))
		want := bytes.Clone(m.ram())
		m.save(path, r.IntN(10) == 0)
		same(t, "the machine", m.ram(), want)
		saved[path] = want
		switch r.IntN(4) {
		case 0:
			name := pick()
			m.end()
			m = restored(t, name)
			same(t, name, m.ram(), saved[name])
		case 1:
			if err := Merge(t.Context(), pick(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if len(saved) > 4 {
			name := pick()
			if err := RemoveAll(name); err != nil {
				t.Fatal(err)
			}
			delete(saved, name)
		}
		if step%8 == 7 {
			for name, want := range saved {
				wants(t, name, want)
			}
		}
	}
}

// TestSumsList has lists of files that nobody writes.
func TestSumsList(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"twice":      func(s string) string { return s + strings.SplitAfter(s, "\n")[0] },
		"no name":    func(s string) string { return s + strings.Repeat("0", 64) + "  \n" },
		"elsewhere":  func(s string) string { return s + strings.Repeat("0", 64) + "  ../x\n" },
		"no newline": func(s string) string { return strings.TrimSuffix(s, "\n") },
	} {
		dir, _ := save(t)
		path := filepath.Join(dir, sumsName)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(change(string(b))), 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if s, err := Open(dir); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
