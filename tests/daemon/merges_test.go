package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// chain makes two layers of memory of a snapshot that a fake worker has made.
func (h *host) chain(name string) {
	h.t.Helper()
	dir := h.path("state/snapshots/" + name)
	m, _, err := snapshot.Read(dir)
	h.must(err)
	m.MemoryBytes = memory.MinSize
	mem, err := memory.New(m.MemoryBytes)
	h.must(err)
	defer mem.Close()
	page := bytes.Repeat([]byte("page"), 1024)
	save := func(path string, base *snapshot.Snapshot, each uint64) *snapshot.Snapshot {
		for at := each * 4096; at < memory.MinSize/2; at += each * 4096 {
			binary.LittleEndian.PutUint64(page, rand.Uint64())
			h.must(mem.WriteAt(page, memory.GPA(at)))
		}
		w, err := snapshot.Create(path)
		h.must(err)
		defer w.Discard()
		h.must(errors.Join(w.Prepare(h.t.Context(), base, false), w.Memory(h.t.Context(), mem)))
		_, err = w.Rebase(mem)
		h.must(err)
		h.must(w.Publish(*m, &statev1.Machine{Cpus: []*statev1.CPU{{}}}))
		s, err := w.Open()
		h.must(err)
		return s
	}
	first := save(h.path("first"), nil, 1)
	h.must(snapshot.RemoveAll(dir))
	h.must(save(dir, first, 3).Close())
	h.must(first.Close())
	h.must(snapshot.RemoveAll(h.path("first")))
}

// merged is what becomes of merges and exports of a snapshot until the daemon is killed.
type merged struct {
	merges, exports int // to their end
	archive         []byte
}

// mergeAndExport does so at once, until ctx ends.
func (h *host) mergeAndExport(ctx context.Context, c *client.Client, name string, kill func()) (m merged) {
	var clients sync.WaitGroup
	clients.Go(func() {
		for ctx.Err() == nil {
			if _, err := c.Snapshots.MergeSnapshot(ctx, &bulkheadv1.MergeSnapshotRequest{Name: name}); err != nil {
				return
			}
			m.merges++
			time.Sleep(time.Millisecond)
		}
	})
	clients.Go(func() {
		for ctx.Err() == nil {
			var b bytes.Buffer
			// One whose files change under it fails, or is of either.
			r := &bulkheadv1.ExportSnapshotRequest{Name: name, Format: bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_TAR}
			if _, err := c.ExportSnapshot(ctx, r, &b); err != nil {
				time.Sleep(time.Millisecond)
				continue
			}
			m.exports++
			m.archive = b.Bytes()
		}
	})
	kill()
	clients.Wait()
	return m
}

// TestKilledAmongMerges kills the daemon at any point while a snapshot is merged and
// exported: it is whole afterwards, as it was or merged, nothing is left of what wasn't
// done, and what was exported to its end can be imported.
func TestKilledAmongMerges(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.dial()
	h.begin(c, "box", &bulkheadv1.SandboxSpec{Command: ticking, MemoryBytes: memory.MinSize})
	made, err := c.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	h.must(err)
	h.chain("golden")
	random := rand.New(rand.NewPCG(7, 8))
	told, interrupted, imported := 0, 0, 0
	for i := 0; i < 8 || i < 60 && (told < 2 || interrupted < 3 || imported < 2); i++ {
		ctx, cancel := context.WithCancel(context.Background())
		all := h.mergeAndExport(ctx, c, "golden", func() {
			// Every other time so soon that an idle host is at the first merge, which alone
			// has layers to merge; else longer and longer, for hosts that are so busy that
			// none is over before.
			most := 20 * time.Millisecond
			if i%2 == 1 {
				most = 150 * time.Millisecond * time.Duration(6+i) / 6
			}
			time.Sleep(time.Duration(random.Int64N(int64(most))))
			d.kill()
			cancel()
		})
		interrupted += len(h.underWay())
		told += min(all.merges, 1)
		d = h.start()
		c = h.dial()
		h.untilNothingIsUnderWay()
		s, err := c.Snapshots.GetSnapshot(t.Context(), &bulkheadv1.GetSnapshotRequest{Name: "golden"})
		h.must(err)
		now := s.GetSnapshot()
		if now.GetUid() != made.GetUid() || now.GetLayers() != 2 && now.GetLayers() != 1 || all.merges > 0 && now.GetLayers() != 1 {
			t.Fatalf("after %d merges: %v", all.merges, now)
		}
		read, err := snapshot.Open(h.path("state/snapshots/golden"))
		h.must(err)
		h.must(errors.Join(read.Verify(), read.Close()))
		if all.exports > 0 {
			name := fmt.Sprint("imported", i)
			_, err := c.ImportSnapshot(t.Context(), name, bytes.NewReader(all.archive))
			h.must(err)
			_, err = c.Snapshots.DeleteSnapshot(t.Context(), &bulkheadv1.DeleteSnapshotRequest{Name: name})
			h.must(err)
			imported++
		}
		if now.GetLayers() == 1 {
			h.chain("golden")
		}
	}
	if told < 2 || interrupted < 3 || imported < 2 {
		t.Errorf("%d merges done, %d interrupted, %d archives imported", told, interrupted, imported)
	}
	t.Logf("%d merges done, %d interrupted, %d archives imported", told, interrupted, imported)
	h.goesOn("box")
	h.clear(c)
	d.stop()
}
