package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// begin makes and starts a sandbox.
func (h *host) begin(c *client.Client, name string, s *bulkheadv1.SandboxSpec) {
	h.t.Helper()
	_, err := c.CreateSandbox(h.t.Context(), &bulkheadv1.CreateSandboxRequest{Name: name, Spec: s})
	h.must(err)
	_, err = c.StartSandbox(h.t.Context(), &bulkheadv1.StartSandboxRequest{Name: name})
	h.must(err)
}

// underWay returns what is in the directory of snapshots that isn't one.
func (h *host) underWay() []string {
	found, err := filepath.Glob(h.path("state/snapshots/.*"))
	h.must(err)
	return found
}

// untilNothingIsUnderWay waits until there is no such thing.
func (h *host) untilNothingIsUnderWay() {
	h.t.Helper()
	for began := time.Now(); len(h.underWay()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			h.t.Fatalf("still under way: %q", h.underWay())
		}
	}
}

// goesOn fails the test if a sandbox's command doesn't write any more.
func (h *host) goesOn(name string) {
	h.t.Helper()
	size := func() int64 {
		info, err := os.Stat(h.path("state/sandboxes/" + name + "/output.log"))
		h.must(err)
		return info.Size()
	}
	before := size()
	for began := time.Now(); size() == before; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			h.t.Fatalf("the command of %s stands still", name)
		}
	}
}

// ticking is a command that says how it goes on.
var ticking = &bulkheadv1.Command{Args: []string{"sh", "-c", "while :; do echo tick; sleep 0.02; done"}}

// TestKilledWhileSaving kills the daemon while a sandbox is saved: the next one has its
// guest go on, and removes what there was of the snapshot.
func TestKilledWhileSaving(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.dial()
	h.begin(c, "hung", &bulkheadv1.SandboxSpec{Command: ticking, Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHungSave}})
	h.begin(c, "slow", &bulkheadv1.SandboxSpec{Command: ticking, Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowSave}})
	for range 3 {
		for _, name := range []string{"hung", "slow"} {
			go c.Snapshots.CreateSnapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: name, Name: "of-" + name})
		}
		for began := time.Now(); len(h.underWay()) < 2; time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("under way: %q", h.underWay())
			}
		}
		time.Sleep(100 * time.Millisecond) // they stand still
		d.kill()
		d = h.start()
		c = h.dial()
		for _, name := range []string{"hung", "slow"} {
			if _, _, err := settled(t.Context(), c, name); err != nil {
				t.Fatal(err)
			}
			h.goesOn(name)
		}
		h.untilNothingIsUnderWay()
	}
	_, err := c.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "slow", Name: "of-slow"})
	h.must(err)
	page, err := c.Snapshots.ListSnapshots(t.Context(), &bulkheadv1.ListSnapshotsRequest{})
	if err != nil || len(page.GetSnapshots()) != 1 {
		t.Errorf("snapshots %v, %v", page, err)
	}
	h.clear(c)
	d.stop()
}

// TestKilledAmongSnapshots kills it at any point while sandboxes are saved, restored
// and forked: no sandbox stands still, no snapshot is half there, no fork half made.
func TestKilledAmongSnapshots(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	h.begin(h.dial(), "box", &bulkheadv1.SandboxSpec{Command: ticking})
	random := rand.New(rand.NewPCG(3, 4))
	made := map[string]bool{} // that a client was told of
	var mu sync.Mutex
	for i := range 12 {
		c := h.dial()
		ctx, cancel := context.WithCancel(context.Background())
		var clients sync.WaitGroup
		clients.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				name := fmt.Sprintf("s%d-%d", i, j)
				_, err := c.Snapshots.CreateSnapshot(ctx, &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: name})
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				mu.Lock()
				made[name] = true
				mu.Unlock()
			}
		})
		clients.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				names := []string{fmt.Sprintf("f%d-%d-a", i, j), fmt.Sprintf("f%d-%d-b", i, j)}
				if _, err := c.ForkSandbox(ctx, &bulkheadv1.ForkSandboxRequest{Name: "box", Names: names}); err != nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
		time.Sleep(time.Duration(50+random.IntN(300)) * time.Millisecond)
		d.kill()
		cancel()
		clients.Wait()
		d = h.start()
		c = h.dial()
		if _, _, err := settled(t.Context(), c, "box"); err != nil {
			t.Fatal(err)
		}
		h.goesOn("box")
		h.untilNothingIsUnderWay()
		h.forksAreWhole(c)
	}
	c := h.dial()
	page, err := c.Snapshots.ListSnapshots(t.Context(), &bulkheadv1.ListSnapshotsRequest{PageSize: 1000})
	h.must(err)
	for _, s := range page.GetSnapshots() {
		delete(made, s.GetName())
		if s.GetProblem() != "" {
			t.Errorf("%s: %s", s.GetName(), s.GetProblem())
		}
	}
	if len(page.GetSnapshots()) == 0 || len(made) > 0 {
		t.Fatalf("%d snapshots; clients were told of %v", len(page.GetSnapshots()), made)
	}
	last := page.GetSnapshots()[len(page.GetSnapshots())-1].GetName()
	h.begin(c, "clone", &bulkheadv1.SandboxSpec{Snapshot: last})
	h.goesOn("clone")
	t.Logf("%d snapshots", len(page.GetSnapshots()))
	h.clear(c)
	d.stop()
}

// forksAreWhole fails the test if there is one copy of a fork and not the other.
func (h *host) forksAreWhole(c *client.Client) {
	h.t.Helper()
	page, err := c.ListSandboxes(h.t.Context(), &bulkheadv1.ListSandboxesRequest{PageSize: 1000})
	h.must(err)
	count := map[string]int{}
	for _, s := range page.GetSandboxes() {
		if fork, ok := strings.CutPrefix(s.GetName(), "f"); ok {
			count[fork[:len(fork)-2]]++
			_, err := c.DeleteSandbox(h.t.Context(), &bulkheadv1.DeleteSandboxRequest{Name: s.GetName(), Force: true})
			h.must(err)
		}
	}
	for fork, n := range count {
		if n != 2 {
			h.t.Errorf("%d copies of fork %s", n, fork)
		}
	}
}

func TestFullDiskOfSnapshots(t *testing.T) {
	h := newHost(t, "")
	disk := h.newSmallDisk("state", "size=4m")
	d := h.start()
	c := h.dial()
	h.begin(c, "box", &bulkheadv1.SandboxSpec{Command: ticking})
	disk.fill()
	_, err := c.Snapshots.CreateSnapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	mustBeNoSpace(t, "a snapshot", err)
	_, err = c.ForkSandbox(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Count: 2})
	mustBeNoSpace(t, "a fork", err)
	disk.free()
	h.untilNothingIsUnderWay()
	h.goesOn("box")
	_, err = c.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	h.must(err)
	h.clear(c)
	d.stop()
}

// TestReadersOfSnapshots have the read-only role.
func TestReadersOfSnapshots(t *testing.T) {
	h := newHost(t, fmt.Sprintf("[listen]\nunix_mode = \"0666\"\n[access.read_only]\nusers = [\"%d\"]\n", reader))
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(strings.TrimSuffix(h.cli, "/bulkhead"), 0o755))
	d := h.start()
	c := h.dial()
	h.begin(c, "box", &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{"sleep", "1000"}, Env: []string{"TOKEN=s3cret"}}})
	_, err := c.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	h.must(err)
	for _, args := range [][]string{{"snapshot", "ls", "-o", "json"}, {"snapshot", "inspect", "golden"}} {
		out, err := h.as(reader, args...)
		if err != nil || !strings.Contains(out, "TOKEN=***") || strings.Contains(out, "s3cret") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	for _, args := range [][]string{{"snapshot", "create", "box"}, {"snapshot", "rm", "golden"}, {"restore", "golden"}, {"fork", "box"}} {
		if out, err := h.as(reader, args...); err == nil || !strings.Contains(out, "read-only role") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	_, err = c.Snapshots.GetSnapshot(t.Context(), &bulkheadv1.GetSnapshotRequest{Name: "none"})
	if status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	d.mustLogOf("Snapshots/GetSnapshot", `"snapshot":"golden"`, `"snapshot":"none"`)
	d.mustLogOf("Snapshots/CreateSnapshot", `"sandbox":"box"`)
	h.clear(c)
	d.stop()
}
