package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Pools as people and programs meet them; testdata/script/pools.txtar has what their
// commands say.

// bulkhead runs the command line, which is to succeed, and returns what it says.
func (h *host) bulkhead(args ...string) string {
	h.t.Helper()
	out, err := h.as(0, args...)
	if err != nil {
		h.t.Fatalf("bulkhead %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// untilReady waits until a pool has so many members that can be claimed.
func (h *host) untilReady(pool string, members int) {
	h.t.Helper()
	want := fmt.Sprintf(`"ready": %d,`, members)
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		out := h.bulkhead("pool", "inspect", pool)
		if strings.Contains(out, want) {
			return
		}
		if time.Since(began) > time.Minute {
			h.t.Fatalf("pool %s has no %d members that are ready: %s", pool, members, out)
		}
	}
}

// TestReadersOfPools have the read-only role.
func TestReadersOfPools(t *testing.T) {
	h := newHost(t, fmt.Sprintf("[listen]\nunix_mode = \"0666\"\n[access.read_only]\nusers = [\"%d\"]\n", reader))
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(filepath.Dir(h.cli), 0o755))
	d := h.start()
	h.bulkhead("pool", "create", "python", "--size", "0")
	for _, args := range [][]string{{"ls", "-q"}, {"inspect", "python"}} {
		if out, err := h.as(reader, append([]string{"pool"}, args...)...); err != nil || !strings.Contains(out, "python") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	for _, args := range [][]string{
		{"create", "other", "--size", "1", "--template", "0123456789ab"}, {"scale", "python", "1"}, {"rm", "python"}, {"claim", "python", "-d"},
	} {
		if out, err := h.as(reader, append([]string{"pool"}, args...)...); err == nil || !strings.Contains(out, "read-only role") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	h.bulkhead("pool", "claim", "python", "-d", "--name", "box")
	d.mustLogOf("Pools/GetPool", `"pool":"python"`)
	d.mustLogOf(`Pools/ClaimSandbox","client":"uid:0"`, `"pool":"python","sandbox":"box"`)
	h.bulkhead("pool", "rm", "python")
	h.clear(h.dial())
	d.stop()
}

// TestPoolLimit is about limits.pool_members, which is read again.
func TestPoolLimit(t *testing.T) {
	h := newHost(t, "[limits]\npool_members = 3\n")
	d := h.start()
	h.bulkhead("pool", "create", "python", "--size", "2")
	if out, err := h.as(0, "pool", "create", "other", "--size", "2"); err == nil || !strings.Contains(out, "may have 3 in all") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := h.as(0, "pool", "scale", "python", "4"); err == nil || !strings.Contains(out, "may have 3 in all") {
		t.Errorf("%v: %s", err, out)
	}
	h.configure("[limits]\npool_members = 4\n")
	h.must(d.cmd.Process.Signal(syscall.SIGHUP))
	d.mustLog("configuration read again")
	h.bulkhead("pool", "create", "other", "--size", "2")
	h.untilReady("other", 2)
	h.bulkhead("pool", "rm", "python", "other")
	h.clear(h.dial())
	d.stop()
}

// TestPoolsOverRestarts: members wait while the daemon is away, whose end isn't theirs;
// they go when the node is drained, and others come when it no longer is.
func TestPoolsOverRestarts(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	h.bulkhead("pool", "create", "python", "--size", "2")
	h.untilReady("python", 2)
	before := h.workers()
	d.kill()
	d = h.start()
	h.untilReady("python", 2)
	for _, pid := range h.workers() {
		if !slices.Contains(before, pid) {
			t.Errorf("process %s wasn't there before, those were %q", pid, before)
		}
	}
	if out := h.bulkhead("pool", "claim", "python", "--", "echo", "hi"); out != "bulkhead: claimed a ready guest of pool python\nhi\n" {
		t.Errorf("%q", out)
	}
	h.untilReady("python", 2)
	h.bulkhead("node", "drain")
	h.mustBeClean()
	h.mustSay("the pool", h.bulkhead("pool", "ls"), "drained")
	if out, err := h.as(0, "pool", "claim", "python", "--", "true"); err == nil || !strings.Contains(out, "drained") {
		t.Errorf("%v: %s", err, out)
	}
	h.bulkhead("node", "undrain")
	h.untilReady("python", 2)
	h.bulkhead("pool", "rm", "python")
	h.clear(h.dial())
	d.stop()
}

// TestPoolMetrics claims, and looks what Prometheus is told of it.
func TestPoolMetrics(t *testing.T) {
	h := newHost(t, "[metrics]\nlisten = \"unix:DIR/metrics.sock\"\n")
	d := h.start()
	h.bulkhead("pool", "create", "python", "--size", "1")
	h.bulkhead("pool", "create", "empty", "--size", "0")
	h.untilReady("python", 1)
	h.bulkhead("pool", "claim", "python", "--", "true")
	h.bulkhead("pool", "claim", "empty", "--", "true")
	h.untilReady("python", 1)
	for name, want := range map[string]float64{
		`bulkhead_pool_size{pool="python"}`:                      1,
		`bulkhead_pool_members{pool="python",state="ready"}`:     1,
		`bulkhead_pool_members{pool="python",state="starting"}`:  0,
		`bulkhead_pool_claims_total{pool="python",start="warm"}`: 1,
		`bulkhead_pool_claims_total{pool="python",start="cold"}`: 0,
		`bulkhead_pool_claims_total{pool="empty",start="cold"}`:  1,
	} {
		if got := h.metric(name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	h.bulkhead("pool", "rm", "python", "empty")
	h.clear(h.dial())
	d.stop()
}
