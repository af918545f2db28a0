package e2e

import (
	"path/filepath"
	"testing"
	"time"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// TestSnapshot saves a guest while it runs, goes on with it, and with others that
// were restored from that.
func TestSnapshot(t *testing.T) {
	requireKVM(t)
	r := &recorded{t: t, dir: workDir(t)}
	r.boot()
	dir := filepath.Join(r.dir, "snapshot")
	start := time.Now()
	s, err := r.worker.Snapshot(t.Context(), &vmmv1.SnapshotRequest{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("saved in %v: pause %v, %d MiB", time.Since(start), time.Duration(s.GetPauseNs()), s.GetStoredBytes()>>20)
	r.healthy()
	for range 2 {
		start := time.Now()
		c := &recorded{t: t, dir: workDir(t)}
		m := c.machine()
		m.Kernel, m.Initrd = "", ""
		c.run(&vmmv1.CreateRequest{Machine: m, Snapshot: dir})
		t.Logf("started after %v", time.Since(start))
		c.connect()
		c.healthy()
		t.Logf("healthy after %v", time.Since(start))
		c.record("it")
		c.start("it", false, "sh", "-c", "echo hello")
		if code := c.end("it"); code != 0 {
			t.Errorf("exit code %d", code)
		}
		t.Logf("a command ran after %v: %q", time.Since(start), c.logged("it")["stdout"])
		c.powerOff()
	}
	r.healthy()
	r.powerOff()
}

// healthy asks the agent how the guest is.
func (r *recorded) healthy() {
	r.t.Helper()
	h, err := r.agent.Health(r.t.Context(), &agentv1.HealthRequest{})
	if err != nil || h.GetSetup() != agentv1.SetupState_SETUP_STATE_READY {
		r.t.Fatalf("%v, %v; its console: %q", h, err, r.console())
	}
	r.t.Logf("up for %v", time.Duration(h.GetUptimeNs()))
}
