package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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
