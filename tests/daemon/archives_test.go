package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// golden makes a snapshot and returns its archive.
func (h *host) golden(c *client.Client) []byte {
	h.t.Helper()
	h.begin(c, "box", &bulkheadv1.SandboxSpec{Command: ticking})
	_, err := c.Snapshot(h.t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	h.must(err)
	var b bytes.Buffer
	_, err = c.ExportSnapshot(h.t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden"}, &b)
	h.must(err)
	return b.Bytes()
}

// TestKilledAmongArchives kills the daemon at any point while snapshots are exported
// and imported: nothing is left of what wasn't done, and what was is whole.
func TestKilledAmongArchives(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	b := h.golden(h.dial())
	random := rand.New(rand.NewPCG(5, 6))
	made := map[string]bool{} // that a client was told of
	var mu sync.Mutex
	interrupted := 0
	for i := 0; i < 6 || i < 60 && (len(made) < 4 || interrupted < 3); i++ {
		c := h.dial()
		ctx, cancel := context.WithCancel(context.Background())
		var clients sync.WaitGroup
		for k := range 3 {
			clients.Go(func() {
				for j := 0; ctx.Err() == nil; j++ {
					name := fmt.Sprintf("s%d-%d-%d", i, k, j)
					if _, err := c.ImportSnapshot(ctx, name, bytes.NewReader(b)); err != nil {
						time.Sleep(time.Millisecond)
						continue
					}
					mu.Lock()
					made[name] = true
					mu.Unlock()
				}
			})
		}
		clients.Go(func() {
			for ctx.Err() == nil {
				if _, err := c.ExportSnapshot(ctx, &bulkheadv1.ExportSnapshotRequest{Name: "golden"}, io.Discard); err != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
		// Longer and longer, where hosts are so busy that no import is over so soon.
		time.Sleep(time.Duration((30+random.IntN(200))*(6+i)/6) * time.Millisecond)
		d.kill()
		cancel()
		clients.Wait()
		interrupted += len(h.underWay())
		d = h.start()
		if left := h.underWay(); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
	told := len(made)
	c := h.dial()
	page, err := c.Snapshots.ListSnapshots(t.Context(), &bulkheadv1.ListSnapshotsRequest{PageSize: 1000})
	h.must(err)
	digests := map[string]bool{}
	for _, s := range page.GetSnapshots() {
		delete(made, s.GetName())
		digests[s.GetDigest()] = true
		if s.GetProblem() != "" {
			t.Errorf("%s: %s", s.GetName(), s.GetProblem())
		}
	}
	if told < 4 || interrupted < 3 || len(made) > 0 || len(digests) != 1 {
		t.Fatalf("%d snapshots of %d kinds, %d imports interrupted; clients were told of %d, of which there aren't %v",
			len(page.GetSnapshots()), len(digests), interrupted, told, made)
	}
	h.begin(c, "clone", &bulkheadv1.SandboxSpec{Snapshot: page.GetSnapshots()[len(page.GetSnapshots())-1].GetName()})
	h.goesOn("clone")
	t.Logf("%d snapshots, %d imports interrupted", len(page.GetSnapshots()), interrupted)
	h.clear(c)
	d.stop()
}

// TestFullDiskOfArchives has there be no room, and too little.
func TestFullDiskOfArchives(t *testing.T) {
	h := newHost(t, "[limits]\nsnapshot_reserve = 0.0\n")
	disk := h.newSmallDisk("state", "size=4m")
	d := h.start()
	c := h.dial()
	b := h.golden(c)
	disk.fill()
	_, err := c.ImportSnapshot(t.Context(), "x", bytes.NewReader(b))
	mustBeNoSpace(t, "an import", err)
	_, err = c.ExportSnapshot(t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden"}, io.Discard)
	mustBeNoSpace(t, "an export", err)
	if left := h.underWay(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	disk.free()
	for i := range 1000 { // until it is full of them
		if _, err = c.ImportSnapshot(t.Context(), fmt.Sprint("s", i), bytes.NewReader(b)); err != nil {
			break
		}
	}
	mustBeNoSpace(t, "many imports", err)
	if left := h.underWay(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	h.must(unix.Mount("", disk.dir, "", unix.MS_REMOUNT, "size=16m"))
	_, err = c.ImportSnapshot(t.Context(), "last", bytes.NewReader(b))
	h.must(err)
	h.clear(c)
	d.stop()
}

// TestReadersOfArchives have the read-only role: there are secrets in them.
func TestReadersOfArchives(t *testing.T) {
	h := newHost(t, fmt.Sprintf("[listen]\nunix_mode = \"0666\"\n[access.read_only]\nusers = [\"%d\"]\n", reader))
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(strings.TrimSuffix(h.cli, "/bulkhead"), 0o755))
	d := h.start()
	c := h.dial()
	b := h.golden(c)
	for _, args := range [][]string{{"snapshot", "export", "golden"}, {"snapshot", "import", h.path("config.toml")}} {
		h.must(os.Chmod(h.path("config.toml"), 0o644))
		if out, err := h.as(reader, args...); err == nil || !strings.Contains(out, "read-only role") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	_, err := c.ImportSnapshot(t.Context(), "golden", bytes.NewReader(b))
	if status.Code(err) != codes.AlreadyExists {
		t.Error(err)
	}
	d.mustLogOf("Snapshots/ExportSnapshot", `"snapshot":"golden"`)
	d.mustLogOf("Snapshots/ImportSnapshot", `"snapshot":"golden"`)
	h.clear(c)
	d.stop()
}
