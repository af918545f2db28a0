package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// names returns those of all sandboxes.
func (f *fixture) names() string {
	var all []string
	for _, s := range f.All() {
		all = append(all, s.GetName())
	}
	return strings.Join(all, " ")
}

// TestForkOfShortLives has copies end, and be deleted for that, while the fork goes on:
// it is one all the same.
func TestForkOfShortLives(t *testing.T) {
	f := open(t)
	flag := filepath.Join(t.TempDir(), "flag")
	f.start("box", nil, "sh", "-c", "[ -e "+flag+" ] || { echo stays; sleep 1000; }")
	f.untilLogged("box", "stays") // it has looked
	f.must(os.WriteFile(flag, nil, 0o600))
	made, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Count: 10, Spec: &bulkheadv1.SandboxSpec{AutoDelete: true}}, "tester")
	f.must(err)
	for _, box := range made {
		if box.GetName() == "" || box.GetStatus().GetOrigin().GetSandbox() != "box" {
			t.Errorf("a copy is %v", box)
		}
	}
}

func TestFork(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Labels: map[string]string{"of": "box"}}, "sh", "-c", "echo said; sleep 1000")
	r := &bulkheadv1.ForkSandboxRequest{Name: "box", Names: []string{"b", "a"}, Spec: &bulkheadv1.SandboxSpec{Labels: map[string]string{"of": "copy"}}, RequestId: "r"}
	made, err := f.Fork(t.Context(), r, "tester")
	f.must(err)
	if len(made) != 2 || made[0].GetName() != "b" || made[1].GetName() != "a" {
		t.Fatalf("%v", made)
	}
	f.nothingUnderWay()
	for _, box := range made {
		if s := box.GetStatus(); s.GetState() != running || s.GetOrigin().GetSandbox() != "box" || s.GetOrigin().GetSnapshot() != "" {
			t.Errorf("status %v", s)
		}
		if box.GetSpec().GetLabels()["of"] != "copy" || box.GetSpec().GetCommand().GetArgs()[0] != "sh" {
			t.Errorf("specification %v", box.GetSpec())
		}
		f.untilLogged(box.GetName(), "said")
		f.exec(box.GetName(), "true")
	}
	f.exec("box", "true")
	again, err := f.Fork(t.Context(), r, "tester")
	f.must(err)
	for i, box := range again {
		if box.GetUid() != made[i].GetUid() {
			t.Errorf("%v and then %v", made[i], box)
		}
	}
	r.Names = []string{"b", "c"}
	_, err = f.Fork(t.Context(), r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonRequestIDUsed)
	f.restart(nil)
	f.settled("a")
	f.settled("b")
	// Once stopped, it boots.
	_, err = f.Stop(t.Context(), "a", 0)
	f.must(err)
	box, err := f.Start(t.Context(), "a")
	f.must(err)
	for _, p := range box.GetStatus().GetPhases() {
		if p.GetName() == "machine restored" {
			t.Error("a copy goes on from what is gone")
		}
	}
	many, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "a", Count: 10}, "tester")
	f.must(err)
	if len(many) != 10 {
		t.Errorf("%d copies", len(many))
	}
}

// TestForkOfRestored: a copy starts again as the sandbox itself does.
func TestForkOfRestored(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	f.restore("clone", "golden")
	_, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "clone", Names: []string{"copy"}}, "tester")
	f.must(err)
	_, err = f.Stop(t.Context(), "copy", 0)
	f.must(err)
	box, err := f.Start(t.Context(), "copy")
	f.must(err)
	if o := box.GetStatus().GetOrigin(); o.GetSnapshot() != "golden" || o.GetSandbox() != "clone" {
		t.Errorf("origin %v", o)
	}
}

// TestForkFails leaves nothing of ten copies of which one can't be.
func TestForkFails(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprint("copy", i))
	}
	// Where one is to have its directory, there is a file.
	f.must(os.WriteFile(filepath.Join(f.config.StateDir, "sandboxes", "copy7"), nil, 0o600))
	_, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Names: names}, "tester")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if err != nil && !strings.Contains(err.Error(), `"copy7"`) {
		t.Errorf("not which: %v", err)
	}
	if left := f.names(); left != "box" {
		t.Errorf("left: %s", left)
	}
	f.nothingUnderWay()
	f.exec("box", "true")
	f.start("copy3", nil)
	_, err = f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Names: names}, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	if left := f.names(); left != "box copy3" {
		t.Errorf("left: %s", left)
	}
	f.nothingUnderWay()
}

func TestForkRefused(t *testing.T) {
	f := open(t)
	disk := filepath.Join(filepath.Dir(f.config.GuestDir), "disk")
	f.must(os.WriteFile(disk, make([]byte, 4096), 0o600))
	f.start("box", &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: disk}}})
	for field, r := range map[string]*bulkheadv1.ForkSandboxRequest{
		"count":            {Count: 65},
		"names[1]":         {Names: []string{"a", "a"}},
		"names[0]":         {Names: []string{"../a"}},
		"request_id":       {RequestId: strings.Repeat("x", 65)},
		"spec.disks":       {},
		"spec.disks[0]":    {Count: 2, Spec: &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: disk}}}},
		"spec.networks[0]": {Count: 2, Spec: &bulkheadv1.SandboxSpec{Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Tap{Tap: "tap0"}}}}},
		"spec.snapshot":    {Spec: &bulkheadv1.SandboxSpec{Snapshot: "golden"}},
		"spec.ttl":         {Spec: &bulkheadv1.SandboxSpec{Ttl: durationpb.New(0)}},
	} {
		r.Name = "box"
		_, err := f.Fork(t.Context(), r, "tester")
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.Invalid || len(e.Violations) == 0 || e.Violations[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "none"}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSandbox)
	f.create("idle", nil)
	_, err = f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "idle"}, "tester")
	f.kindIs(err, fault.Precondition, fault.ReasonState)
	f.nothingUnderWay()
	if left := f.names(); left != "box idle" {
		t.Errorf("left: %s", left)
	}
}

// TestNodeEndsWhileForking has the next node remove copies of which nobody has heard.
func TestNodeEndsWhileForking(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHungSave}}, "sleep", "1000")
	go f.Fork(context.Background(), &bulkheadv1.ForkSandboxRequest{Name: "box", Names: []string{"a", "b"}}, "tester")
	f.untilFrozen("box")
	f.restart(nil)
	f.settled("box")
	f.untilGone("a")
	f.untilGone("b")
	f.nothingUnderWay()
	if f.frozen("box") {
		t.Error("the guest stands still")
	}
}

// TestHalfAFork is one whose node was killed when some of the copies ran.
func TestHalfAFork(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	made, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Names: []string{"a", "b"}}, "tester")
	f.must(err)
	f.must(f.Close())
	var dir string
	f.rewrite("a", func(r *storev1.Record) { dir = r.GetFork() })
	f.must(os.MkdirAll(f.snapshotDir(dir), 0o700))
	f.reopen()
	for _, box := range made {
		f.untilGone(box.GetName())
	}
	f.nothingUnderWay()
	f.settled("box")
}
