package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// TestLayers takes snapshots one after the other: each says whose files it shares.
func TestLayers(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	first, second := f.save("box", "first"), f.save("box", "second")
	if first.GetLayers() != 1 || first.GetParentUid() != "" || first.GetWholeReason() == "" {
		t.Errorf("the first: %v", first)
	}
	if second.GetLayers() != 2 || second.GetParentUid() != first.GetUid() || second.GetParentDigest() == "" || second.GetWholeReason() != "" {
		t.Errorf("the second: %v", second)
	}
	for _, name := range []string{"full", ""} {
		full, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: name, Full: true}, "tester")
		f.must(err)
		if full.GetLayers() != 1 || full.GetParentUid() != "" {
			t.Errorf("a full one: %v", full)
		}
	}
}

// chain makes a snapshot of two layers of one that a fake worker has made.
func (f *fixture) chain(name string) {
	f.t.Helper()
	dir := f.snapshotDir(name)
	m, _, err := snapshot.Read(dir)
	f.must(err)
	m.MemoryBytes = memory.MinSize
	mem, err := memory.New(m.MemoryBytes)
	f.must(err)
	defer mem.Close()
	save := func(path string, base *snapshot.Snapshot) *snapshot.Snapshot {
		w, err := snapshot.Create(path)
		f.must(err)
		defer w.Discard()
		f.must(errors.Join(w.Prepare(f.t.Context(), base, false), mem.WriteAt([]byte{1}, 4096), w.Memory(f.t.Context(), mem)))
		_, err = w.Rebase(mem)
		f.must(err)
		f.must(w.Publish(*m, &statev1.Machine{}))
		s, err := w.Open()
		f.must(err)
		return s
	}
	first := save(dir+"-first", nil)
	defer first.Close()
	f.must(os.RemoveAll(dir))
	f.must(save(dir, first).Close())
	f.must(snapshot.RemoveAll(dir + "-first"))
}

func TestMergeSnapshot(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	s := f.save("box", "s")
	damaged := f.save("box", "damaged")
	f.must(os.Truncate(filepath.Join(f.snapshotDir("damaged"), "memory.1"), 7))
	_, err := f.MergeSnapshot(t.Context(), damaged.GetName(), "")
	f.kindIs(err, fault.Precondition, fault.ReasonSnapshotDamaged)
	f.chain("s")
	before, err := f.GetSnapshot("s")
	f.must(err)
	if before.GetLayers() != 2 {
		t.Fatalf("%v", before)
	}
	_, err = f.MergeSnapshot(t.Context(), "s", "another")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
	for range 2 {
		merged, err := f.MergeSnapshot(t.Context(), "s", s.GetUid())
		f.must(err)
		if merged.GetLayers() != 1 || merged.GetUid() != s.GetUid() || merged.GetDigest() == before.GetDigest() || merged.GetSandbox() != "box" {
			t.Errorf("%v", merged)
		}
	}
	_, err = f.MergeSnapshot(t.Context(), "none", "")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
	f.nothingUnderWay()
}

// TestMergeWithinBounds: whoever has snapshots that share most of their memory can't have
// more of the disk by merging them.
func TestMergeWithinBounds(t *testing.T) {
	for name, limit := range map[string]func(*node.Limits, uint64){
		"of a client": func(l *node.Limits, n uint64) { l.SnapshotBytesPerClient = n },
		"of the node": func(l *node.Limits, n uint64) { l.SnapshotBytes = n },
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.start("box", nil)
			f.save("box", "s")
			f.chain("s")
			f.must(os.Mkdir(f.snapshotDir("sibling"), 0o700))
			files, err := os.ReadDir(f.snapshotDir("s"))
			f.must(err)
			taken := uint64(0)
			for _, file := range files {
				path := filepath.Join(f.snapshotDir("s"), file.Name())
				f.must(os.Link(path, filepath.Join(f.snapshotDir("sibling"), file.Name())))
				var st unix.Stat_t
				f.must(unix.Stat(path, &st))
				taken += uint64(st.Blocks) * 512
			}
			l := f.config.Limits
			limit(&l, taken)
			f.must(f.SetLimits(l))
			_, err = f.MergeSnapshot(t.Context(), "sibling", "")
			f.kindIs(err, fault.Exhausted, fault.ReasonSnapshotBytes)
			if s, err := f.GetSnapshot("sibling"); err != nil || s.GetLayers() != 2 {
				t.Errorf("%v, %v", s, err)
			}
			f.must(snapshot.RemoveAll(f.snapshotDir("s")))
			_, err = f.MergeSnapshot(t.Context(), "sibling", "") // which takes no more than it did
			f.must(err)
			f.nothingUnderWay()
		})
	}
}

// TestMergeWithoutRoom leaves free what is to stay so.
func TestMergeWithoutRoom(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	f.save("box", "s")
	f.chain("s")
	l := f.config.Limits
	l.SnapshotReserve = 0.9999
	f.must(f.SetLimits(l))
	_, err := f.MergeSnapshot(t.Context(), "s", "")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	says(t, err, `snapshot "s" is not merged`)
	f.nothingUnderWay()
}
