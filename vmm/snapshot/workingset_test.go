package snapshot

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// openSaved returns a snapshot, open, and where it is.
func openSaved(t *testing.T) (dir string, s *Snapshot) {
	t.Helper()
	dir, _ = save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return dir, s
}

// TestWorkingSet keeps one, and reads what was stored of it.
func TestWorkingSet(t *testing.T) {
	dir, s := openSaved(t)
	if runs, err := s.WorkingSet(); runs != nil || err != nil {
		t.Errorf("before anybody kept one: %v, %v", runs, err)
	}
	all := []memory.Run{{From: 0, To: s.Manifest.MemoryBytes}}
	if err := s.SetWorkingSet(all); err != nil {
		t.Fatal(err)
	}
	runs, err := s.WorkingSet()
	if err != nil || len(runs) == 0 {
		t.Fatalf("%v, %v", runs, err)
	}
	read := uint64(0)
	for i, r := range runs {
		read += r.To - r.From
		if i > 0 && r.From <= runs[i-1].To {
			t.Errorf("%x comes after %x", r, runs[i-1])
		}
	}
	if read < s.Manifest.StoredBytes || read > s.Manifest.MemoryBytes/2 {
		t.Errorf("%d bytes of %d that are stored, and %d in all", read, s.Manifest.StoredBytes, s.Manifest.MemoryBytes)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".workingset*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWorkingSetOfAnother takes none that was of another snapshot, or is garbage.
func TestWorkingSetOfAnother(t *testing.T) {
	dir, s := openSaved(t)
	good := encodeWorkingSet([]memory.Run{{From: 4096, To: 8192}, {From: 1 << 20, To: 2 << 20}}, s.Digest)
	if runs, err := decodeWorkingSet(good, s.Digest, s.Manifest.MemoryBytes); len(runs) != 2 || err != nil {
		t.Fatalf("%v, %v", runs, err)
	}
	large := encodeWorkingSet([]memory.Run{{From: 0, To: s.Manifest.MemoryBytes + 4096}}, s.Digest)
	many := make([]memory.Run, maxRuns+1)
	for i := range many {
		many[i] = memory.Run{From: uint64(i) * 8192, To: uint64(i)*8192 + 4096}
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-6] ^= 1
	for name, b := range map[string][]byte{
		"empty":               {},
		"garbage":             []byte(strings.Repeat("garbage", 100)),
		"cut off":             good[:len(good)-1],
		"flipped":             flipped,
		"another snapshot's":  encodeWorkingSet(nil, "sha256:"+strings.Repeat("0", 64)),
		"beyond the memory":   large,
		"runs without end":    encodeWorkingSet(many, s.Digest),
		"more than it may be": make([]byte, maxWorkingSet+1),
		"an empty run":        encodeWorkingSet([]memory.Run{{From: 4096, To: 4096}}, s.Digest),
	} {
		if err := os.WriteFile(filepath.Join(dir, workingSetName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if runs, err := s.WorkingSet(); err == nil {
			t.Errorf("%s: %v", name, runs)
		}
	}
	if err := s.Verify(); err != nil {
		t.Errorf("it is no part of the snapshot: %v", err)
	}
}

func FuzzWorkingSet(f *testing.F) {
	const digest, size = "sha256:0123", 64 << 20
	f.Add(encodeWorkingSet([]memory.Run{{From: 4096, To: 8192}, {From: 1 << 20, To: 2 << 20}}, digest)[len(workingSetMagic+digest+"\n"):])
	f.Fuzz(func(t *testing.T, rest []byte) {
		// What is behind a sum that is right.
		b := append([]byte(workingSetMagic+digest+"\n"), rest...)
		runs, err := decodeWorkingSet(withSum(b), digest, size)
		if err != nil {
			return
		}
		at := uint64(0)
		for i, r := range runs {
			if r.From < at || r.To <= r.From || r.To > size || r.From%pageSize+r.To%pageSize != 0 {
				t.Fatalf("run %d is %x", i, r)
			}
			at = r.To
		}
		again, err := decodeWorkingSet(encodeWorkingSet(runs, digest), digest, size)
		if err != nil || !reflect.DeepEqual(again, runs) {
			t.Errorf("%x became %x, %v", runs, again, err)
		}
	})
}
