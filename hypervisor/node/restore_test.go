package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestRestoredCommandEnds has a restored sandbox end with its command.
func TestRestoredCommandEnds(t *testing.T) {
	f := open(t)
	end := filepath.Join(f.config.StateDir, "end")
	f.start("box", nil, "sh", "-c", "while [ ! -e "+end+" ]; do sleep 0.05; done; exit 5")
	f.save("box", "golden")
	f.restore("clone", "golden")
	f.must(os.WriteFile(end, nil, 0o600))
	for _, name := range []string{"box", "clone"} {
		if e := f.until(name, stopped).GetStatus().GetExit(); e.GetExitCode() != 5 {
			t.Errorf("%s: exit %v", name, e)
		}
	}
}

// TestRestoreAgain repeats the request for a sandbox from a snapshot, also when that
// is gone.
func TestRestoreAgain(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	r := &bulkheadv1.CreateSandboxRequest{Name: "clone", RequestId: "x", Spec: &bulkheadv1.SandboxSpec{Snapshot: "golden"}}
	first, err := f.Create(r, "tester")
	f.must(err)
	f.must(f.DeleteSnapshot("golden", ""))
	again, err := f.Create(r, "tester")
	f.must(err)
	if again.GetUid() != first.GetUid() {
		t.Errorf("%v and then %v", first, again)
	}
	r.Spec.Labels = map[string]string{"a": "b"}
	_, err = f.Create(r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
}

// TestDamaged restores what isn't as it was written.
func TestDamaged(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	for _, name := range []string{"memory", "manifest", "sums", "image"} {
		f.save("box", name)
	}
	f.must(os.WriteFile(filepath.Join(f.snapshotDir("memory"), "memory"), []byte("other"), 0o600))
	f.create("clone", &bulkheadv1.SandboxSpec{Snapshot: "memory"})
	_, err := f.Start(t.Context(), "clone")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
	f.must(os.WriteFile(filepath.Join(f.snapshotDir("manifest"), "manifest.json"), []byte("{"), 0o600))
	f.must(os.Remove(filepath.Join(f.snapshotDir("sums"), "SHA256SUMS")))
	for _, name := range []string{"manifest", "sums"} {
		_, err = f.GetSnapshot(name)
		f.kindIs(err, fault.Precondition, fault.ReasonSnapshotDamaged)
		_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Snapshot: name}}, "tester")
		f.kindIs(err, fault.Precondition, fault.ReasonSnapshotDamaged)
		_, err = f.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: name}, "tester")
		f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	}
	page, err := f.ListSnapshots(&bulkheadv1.ListSnapshotsRequest{})
	f.must(err)
	problems := 0
	for _, s := range page.GetSnapshots() {
		if s.GetProblem() != "" {
			problems++
		}
	}
	if len(page.GetSnapshots()) != 4 || problems != 2 {
		t.Errorf("%v", page)
	}
	f.must(f.DeleteSnapshot("manifest", ""))
	later := time.Now().Add(time.Hour)
	f.must(os.Chtimes(filepath.Join(f.config.GuestDir, "userland.erofs"), later, later))
	f.create("stale", &bulkheadv1.SandboxSpec{Snapshot: "image"})
	_, err = f.Start(t.Context(), "stale")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if !strings.Contains(err.Error(), "when the snapshot was taken") {
		t.Error(err)
	}
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Snapshot: "none"}}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSnapshot)
}

// TestImageReplaced has another file be where the guest's root file system was: it may
// well have been written before the snapshot was taken. A copy of it does.
func TestImageReplaced(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "s")
	path := filepath.Join(f.config.GuestDir, "userland.erofs")
	was, err := os.Stat(path)
	f.must(err)
	content, err := os.ReadFile(path)
	f.must(err)
	replace := func(content []byte, at time.Time) {
		t.Helper()
		f.must(os.WriteFile(path+".new", content, 0o600))
		f.must(os.Chtimes(path+".new", at, at))
		f.must(os.Rename(path+".new", path))
	}
	start := func(name string) error {
		f.create(name, &bulkheadv1.SandboxSpec{Snapshot: "s"})
		_, err := f.Start(t.Context(), name)
		return err
	}
	replace(content, was.ModTime().Add(-time.Hour))
	err = start("older")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	says(t, err, "isn't what it was")
	replace(append(content, 0), was.ModTime())
	f.kindIs(start("larger"), fault.Aborted, fault.ReasonStartFailed)
	replace(content, was.ModTime().Truncate(time.Second))
	f.must(start("copy"))
}

// TestAnotherSnapshot of the same name isn't the one that a sandbox was made from.
func TestAnotherSnapshot(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	first := f.save("box", "golden")
	f.create("clone", &bulkheadv1.SandboxSpec{Snapshot: "golden"})
	f.kindIs(f.DeleteSnapshot("golden", "another"), fault.NotFound, fault.ReasonNoSnapshot)
	f.must(f.DeleteSnapshot("golden", first.GetUid()))
	f.save("box", "golden")
	_, err := f.Start(t.Context(), "clone")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if !strings.Contains(err.Error(), "is another one") {
		t.Error(err)
	}
}

// TestInherited is what is a snapshot's, and what a sandbox's own.
func TestInherited(t *testing.T) {
	f := open(t)
	disk := filepath.Join(filepath.Dir(f.config.GuestDir), "disk")
	f.must(os.WriteFile(disk, make([]byte, 4096), 0o600))
	f.start("box", &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: disk, Overlay: true}}}, "sleep", "1000")
	f.save("box", "golden")
	for field, s := range map[string]*bulkheadv1.SandboxSpec{
		"spec.cpus":           {Cpus: 3},
		"spec.memory_bytes":   {MemoryBytes: 1 << 30},
		"spec.command":        {Command: &bulkheadv1.Command{Args: []string{"true"}}},
		"spec.root_fs.path":   {RootFs: &bulkheadv1.RootFS{Path: disk}},
		"spec.transport":      {Transport: bulkheadv1.Transport_TRANSPORT_PCI},
		"spec.kernel.cmdline": {Kernel: &bulkheadv1.Kernel{Cmdline: "quiet"}},
		"spec.disks":          {Disks: []*bulkheadv1.Disk{{Path: disk}, {Path: disk}}},
		"spec.disks[0]":       {Disks: []*bulkheadv1.Disk{{Path: disk, ReadOnly: true}}},
		"spec.networks":       {Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Tap{Tap: "tap0"}}}},
	} {
		s.Snapshot = "golden"
		_, err := f.Create(&bulkheadv1.CreateSandboxRequest{Spec: s}, "tester")
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.Invalid || len(e.Violations) != 1 || e.Violations[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	f.start("clone", &bulkheadv1.SandboxSpec{Snapshot: "golden", Cpus: 1, MemoryBytes: 128 << 20, Transport: bulkheadv1.Transport_TRANSPORT_MMIO})
	overlay := filepath.Join(f.config.StateDir, "sandboxes", "clone", "disk0.overlay")
	if b, err := os.ReadFile(overlay); err != nil || string(b) != "the snapshot's" {
		t.Errorf("overlay %q, %v", b, err)
	}
	f.must(os.WriteFile(overlay, []byte("the first run's"), 0o600))
	_, err := f.Stop(t.Context(), "clone", 0)
	f.must(err)
	_, err = f.Start(t.Context(), "clone")
	f.must(err)
	if b, err := os.ReadFile(overlay); err != nil || string(b) != "the snapshot's" {
		t.Errorf("overlay of the second run %q, %v", b, err)
	}
}

// TestRestoredRestarts has a restored sandbox be started again from its snapshot.
func TestRestoredRestarts(t *testing.T) {
	f := open(t)
	count := filepath.Join(f.config.StateDir, "count")
	f.start("box", nil, "sh", "-c", "sleep 0.5; echo x >> "+count+"; exit 3")
	f.save("box", "golden")
	f.start("clone", &bulkheadv1.SandboxSpec{Snapshot: "golden", Restart: onFailure(2)})
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		box, err := f.Get("clone")
		f.must(err)
		if s := box.GetStatus(); s.GetRestarts() == 2 && s.GetState() == stopped {
			if s.GetExit().GetExitCode() != 3 || s.GetOrigin().GetSnapshot() != "golden" {
				t.Errorf("status %v", s)
			}
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("status %v", box.GetStatus())
		}
	}
}

func TestManyRestoresAtOnce(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	var all sync.WaitGroup
	for i := range 20 {
		name := fmt.Sprint("clone", i)
		f.create(name, &bulkheadv1.SandboxSpec{Snapshot: "golden"})
		all.Go(func() {
			if _, err := f.Start(context.Background(), name); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		f.exec(fmt.Sprint("clone", i), "true")
	}
}

// TestRestoredConnectionIsCut has a restored guest hear only after it has taken the
// first connection that those it had are gone.
func TestRestoredConnectionIsCut(t *testing.T) {
	f := open(t)
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordCut}}, "sleep", "1000")
	f.save("box", "golden")
	f.restore("clone", "golden")
	f.exec("clone", "true")
}
