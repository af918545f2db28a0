package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// save takes a snapshot.
func (f *fixture) save(sandbox, name string) *bulkheadv1.Snapshot {
	f.t.Helper()
	s, err := f.Snapshot(f.t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: sandbox, Name: name}, "tester")
	f.must(err)
	return s
}

// restore makes and starts a sandbox from one.
func (f *fixture) restore(name, snapshot string) *bulkheadv1.Sandbox {
	f.t.Helper()
	return f.start(name, &bulkheadv1.SandboxSpec{Snapshot: snapshot})
}

func (f *fixture) snapshotDir(name string) string {
	return filepath.Join(f.config.StateDir, "snapshots", name)
}

// nothingUnderWay fails the test if the directory of snapshots has what isn't one.
func (f *fixture) nothingUnderWay() {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		left, err := filepath.Glob(f.snapshotDir(".*"))
		f.must(err)
		if len(left) == 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("left: %q", left)
		}
	}
}

func TestSnapshotAndRestore(t *testing.T) {
	f := open(t)
	box := f.start("box", &bulkheadv1.SandboxSpec{Cpus: 2, MemoryBytes: 64 << 20, Labels: map[string]string{"of": "box"}}, "sh", "-c", "echo said; sleep 1000")
	s := f.save("box", "golden")
	if s.GetSandbox() != "box" || s.GetSandboxUid() != box.GetUid() || s.GetCpus() != 2 || s.GetMemoryBytes() != 64<<20 || s.GetStoredBytes() == 0 ||
		s.GetPause().AsDuration() == 0 || s.GetUid() == "" || s.GetClient() != "tester" || !strings.HasPrefix(s.GetDigest(), "sha256:") ||
		s.GetVersion() != "fake" || len(s.GetDevices()) != 1 || s.GetSpec().GetCommand().GetArgs()[0] != "sh" {
		t.Errorf("snapshot %v", s)
	}
	if out, _ := f.exec("box", "echo", "goes on"); out != "goes on\n" {
		t.Errorf("the sandbox after it was saved: %q", out)
	}
	clone := f.restore("clone", "golden")
	if o := clone.GetStatus().GetOrigin(); o.GetSnapshot() != "golden" || o.GetSnapshotUid() != s.GetUid() || o.GetSandbox() != "box" || !o.GetTime().AsTime().Equal(s.GetCreateTime().AsTime()) {
		t.Errorf("origin %v", o)
	}
	if c := clone.GetSpec(); c.GetCpus() != 2 || c.GetMemoryBytes() != 64<<20 || c.GetCommand().GetArgs()[2] != "echo said; sleep 1000" || len(c.GetLabels()) != 0 {
		t.Errorf("specification %v", c)
	}
	var phases []string
	for _, p := range clone.GetStatus().GetPhases() {
		phases = append(phases, p.GetName())
	}
	if text := strings.Join(phases, ", "); !strings.Contains(text, "machine restored, agent ready, identity renewed, command recorded") {
		t.Errorf("phases %s", text)
	}
	if out, _ := f.exec("clone", "echo", "hi"); out != "hi\n" {
		t.Errorf("exec: %q", out)
	}
	renewed, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, "clone", "guest", "renewed.json"))
	if err != nil || !strings.Contains(string(renewed), `"clone"`) {
		t.Errorf("renewed as %s, %v", renewed, err)
	}
	f.untilLogged("clone", "said")
	f.must(f.DeleteSnapshot("golden", "")) // in use, which is fine
	if out, _ := f.exec("clone", "echo", "still"); out != "still\n" {
		t.Errorf("exec: %q", out)
	}
	box, err = f.Stop(t.Context(), "clone", time.Second)
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || e.GetForced() {
		t.Errorf("exit %v", e)
	}
	_, err = f.Start(t.Context(), "clone")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if !strings.Contains(err.Error(), `there is no snapshot "golden"`) {
		t.Error(err)
	}
	f.nothingUnderWay()
}

// untilLogged waits until a sandbox's command has written a word.
func (f *fixture) untilLogged(name, word string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		path, _, _ := f.Logs(name) // it may be gone
		b, _ := os.ReadFile(path)
		if strings.Contains(string(b), word) {
			return
		}
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("the log of %s has only %q", name, b)
		}
	}
}

func TestSnapshotAgain(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	request := func() *bulkheadv1.CreateSnapshotRequest {
		return &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "one", RequestId: "r1", Labels: map[string]string{"a": "b"}}
	}
	first, err := f.Snapshot(t.Context(), request(), "tester")
	f.must(err)
	for range 2 {
		again, err := f.Snapshot(t.Context(), request(), "tester")
		f.must(err)
		if again.GetUid() != first.GetUid() {
			t.Errorf("%v and then %v", first, again)
		}
		f.restart(nil)
		f.settled("box")
	}
	_, err = f.Snapshot(t.Context(), request(), "other")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	r := request()
	r.RequestId = ""
	_, err = f.Snapshot(t.Context(), r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	r = request()
	r.Name = "two"
	_, err = f.Snapshot(t.Context(), r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonRequestIDUsed)
	r.Name = ""
	again, err := f.Snapshot(t.Context(), r, "tester")
	f.must(err)
	if again.GetUid() != first.GetUid() {
		t.Errorf("without the name it is %v", again)
	}
	r.Full = true
	_, err = f.Snapshot(t.Context(), r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonRequestIDUsed)
	unnamed, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box"}, "tester")
	f.must(err)
	if unnamed.GetName() == "" || unnamed.GetUid() == first.GetUid() {
		t.Errorf("without a name: %v", unnamed)
	}
}

func TestSnapshotNames(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	for _, name := range []string{"../x", "..", ".", ".hidden", "a/b", "/etc", strings.Repeat("x", 300), "a\x00b", "-x", "a b"} {
		_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: name}, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		_, err = f.GetSnapshot(name)
		f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
		f.kindIs(f.DeleteSnapshot(name, ""), fault.NotFound, fault.ReasonNoSnapshot)
		_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Snapshot: name}}, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	}
	_, err := f.GetSnapshot("")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
	_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "../box"}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSandbox)
}

func TestListSnapshots(t *testing.T) {
	f := open(t)
	f.start("a", nil)
	f.start("b", nil)
	for i, name := range []string{"s1", "s2", "s3", "s4", "s5"} {
		r := &bulkheadv1.CreateSnapshotRequest{Sandbox: []string{"a", "b"}[i%2], Name: name, Labels: map[string]string{"n": fmt.Sprint(i)}}
		_, err := f.Snapshot(t.Context(), r, "tester")
		f.must(err)
	}
	names := func(r *bulkheadv1.ListSnapshotsRequest) string {
		var all []string
		for {
			page, err := f.ListSnapshots(r)
			f.must(err)
			for _, s := range page.GetSnapshots() {
				all = append(all, s.GetName())
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
				return strings.Join(all, " ")
			}
		}
	}
	for want, r := range map[string]*bulkheadv1.ListSnapshotsRequest{
		"s1 s2 s3 s4 s5": {PageSize: 2},
		"s2 s4":          {Sandbox: "b", PageSize: 1},
		"s1 s2 s4 s5":    {LabelSelector: "n!=2", PageSize: 3},
	} {
		if got := names(r); got != want {
			t.Errorf("%v: %s", r, got)
		}
	}
	for _, r := range []*bulkheadv1.ListSnapshotsRequest{{PageSize: 1001}, {PageToken: "x"}, {LabelSelector: "a b"}} {
		_, err := f.ListSnapshots(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	}
	if n, err := f.CountSnapshots(); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestSnapshotsPerClient(t *testing.T) {
	f := open(t, func(c *node.Config) { c.PerClient = 2 })
	f.start("box", nil)
	f.save("box", "s1")
	f.save("box", "s2")
	_, err := f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "s3"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonTooManySnapshots)
	_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "s3"}, "other")
	f.must(err)
}
