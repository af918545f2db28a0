package node_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// archive returns a snapshot's.
func (f *fixture) archive(name string) []byte {
	f.t.Helper()
	var b bytes.Buffer
	f.must(f.Export(f.t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: name}, func(*bulkheadv1.Snapshot) (io.Writer, error) { return &b, nil }))
	return b.Bytes()
}

func (f *fixture) take(name string, b []byte) (*bulkheadv1.Snapshot, error) {
	return f.Import(f.t.Context(), &bulkheadv1.ImportSnapshotHeader{Name: name}, "tester", bytes.NewReader(b))
}

// withImages returns a directory for images, and what has a node serve it.
func withImages(t *testing.T) (dir string, serve func(*node.Config)) {
	dir = t.TempDir()
	return dir, func(c *node.Config) { c.Limits.Spec.Images = append(c.Limits.Spec.Images, dir) }
}

// says fails the test unless an error has these words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("it isn't said that %q: %v", w, err)
		}
	}
}

// TestImagesOfImports: a node has the same images, or imports nothing.
func TestImagesOfImports(t *testing.T) {
	dir, serve := withImages(t)
	here, there := open(t, serve), open(t, serve)
	disk, userland := filepath.Join(dir, "disk"), filepath.Join(there.config.GuestDir, "userland.erofs")
	here.must(os.WriteFile(disk, []byte("a disk"), 0o600))
	here.start("box", &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: disk, Overlay: true}}}, "sleep", "1000")
	here.save("box", "golden")
	b := here.archive("golden")
	for what, spoil := range map[string]struct{ path, text string }{"the root file system": {userland, "fake"}, "disk 0": {disk, "a disk"}} {
		there.must(os.Remove(spoil.path))
		_, err := there.take("", b)
		there.kindIs(err, fault.Precondition, fault.ReasonImage)
		says(t, err, what)
		there.must(os.WriteFile(spoil.path, []byte("another"), 0o600))
		_, err = there.take("", b)
		there.kindIs(err, fault.Precondition, fault.ReasonImage)
		says(t, err, "needs the image of "+what, "copy it to this node", spoil.path+" has 7 bytes", "sha256:")
		there.nothingUnderWay()
		there.must(os.WriteFile(spoil.path, []byte(spoil.text), 0o600))
	}
	s, err := there.take("", b)
	there.must(err)
	if s.GetName() != "golden" || s.GetClient() != "tester" {
		t.Errorf("%v", s)
	}
	there.restore("clone", "golden") // though the images are newer than the snapshot
	later := time.Now().Add(time.Hour)
	there.must(os.Chtimes(disk, later, later))
	there.restore("touched", "golden")
	again := there.archive("golden")
	there.must(os.WriteFile(disk, []byte("b disk"), 0o600))
	there.create("stale", &bulkheadv1.SandboxSpec{Snapshot: "golden"})
	_, err = there.Start(t.Context(), "stale")
	there.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	says(t, err, "put it back as it was", disk)
	err = there.Export(t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden"}, nil)
	there.kindIs(err, fault.Precondition, fault.ReasonImage)
	there.must(os.WriteFile(disk, []byte("a disk"), 0o600))
	_, err = there.take("again", again)
	there.must(err)
}

// TestServedByOthers: what a specification names must be what this node serves.
func TestServedByOthers(t *testing.T) {
	dir, serve := withImages(t)
	here, there := open(t, serve), open(t)
	disk := filepath.Join(dir, "disk")
	here.must(os.WriteFile(disk, []byte("a disk"), 0o600))
	here.start("box", &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: disk, ReadOnly: true}}}, "sleep", "1000")
	here.save("box", "golden")
	_, err := there.take("", here.archive("golden"))
	there.kindIs(err, fault.Precondition, fault.ReasonUnfit)
	says(t, err, "spec.disks[0].path", "outside the directories that this node serves")
	there.nothingUnderWay()
	here.must(here.SetLimits(there.config.Limits))
	_, err = here.Create(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Snapshot: "golden"}}, "tester")
	here.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	says(t, err, "spec.disks[0].path")
}

// TestForged has manifests say what no node would have written.
func TestForged(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	vsock := &bulkheadv1.SandboxSpec{Cpus: 1, MemoryBytes: 128 << 20, VsockPath: "/run/docker.sock"}
	for name, tt := range map[string]struct {
		change func(r *record)
		says   string
		create bool // it can't even be gone on from where it was made
	}{
		"another root image": {func(r *record) { r.Images[0] = "/etc/shadow" }, "", true},
		"no images":          {func(r *record) { r.Images = append(r.Images, "/x") }, "images", true},
		"a kernel":           {func(r *record) { r.Snapshot.Spec.Kernel = &bulkheadv1.Kernel{Image: "/etc/shadow"} }, "spec.kernel.image", true},
		"a root":             {func(r *record) { r.Snapshot.Spec.RootFs = &bulkheadv1.RootFS{Path: "/etc"} }, "spec.root_fs.path", true},
		"no CPUs":            {func(r *record) { r.Snapshot.Spec.Cpus = 0 }, "spec", true},
		"no memory":          {func(r *record) { r.Snapshot.Spec.MemoryBytes = 0 }, "spec", true},
		"other memory":       {func(r *record) { r.Snapshot.Spec.MemoryBytes = 1 << 30 }, "spec: ", false},
		"a socket":           {func(r *record) { r.Snapshot.Spec = vsock }, "spec.vsock_path", false},
		"a bad sandbox":      {func(r *record) { r.Snapshot.Sandbox = "../x" }, "sandbox", false},
		"a long uid":         {func(r *record) { r.Snapshot.Uid = strings.Repeat("u", 1<<20) }, "uid", false},
		"bad labels":         {func(r *record) { r.Snapshot.Labels = map[string]string{"a b": "c"} }, "labels", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{f.Node, t, f.config}
			f.save("box", "forged")
			f.forge("forged", tt.change)
			_, err := f.Create(&bulkheadv1.CreateSandboxRequest{Name: "clone", Spec: &bulkheadv1.SandboxSpec{Snapshot: "forged"}}, "tester")
			if kind := fault.KindOf(err); tt.create && kind != fault.Precondition && kind != fault.Invalid {
				t.Errorf("created: %v", err)
			}
			if err == nil {
				f.must(f.Delete(t.Context(), "clone", "", true))
			}
			if tt.says != "" {
				_, err = f.take("taken", f.forgedArchive("forged"))
				if fault.KindOf(err) == fault.Internal || err == nil {
					t.Errorf("imported: %v", err)
				}
				says(t, err, tt.says)
			}
			f.must(f.DeleteSnapshot("forged", ""))
			f.nothingUnderWay()
		})
	}
}

// TestTalkative has manifests say much of themselves: every list would carry it, and be
// more than clients take.
func TestTalkative(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	long := strings.Repeat("x", 1<<20)
	for field, change := range map[string]func(*snapshot.Manifest){
		"whole_reason":  func(m *snapshot.Manifest) { m.Whole = long },
		"parent_uid":    func(m *snapshot.Manifest) { m.Parent = &snapshot.Parent{UID: long} },
		"parent_digest": func(m *snapshot.Manifest) { m.Parent = &snapshot.Parent{Digest: long} },
	} {
		f.save("box", "forged")
		f.forgeManifest("forged", change)
		_, err := f.take("taken", f.forgedArchive("forged"))
		f.kindIs(err, fault.Precondition, fault.ReasonUnfit)
		says(t, err, field)
		f.must(f.DeleteSnapshot("forged", ""))
	}
	f.save("box", "forged")
	s, err := f.take("taken", f.forgedArchiveOf("forged", func(r *record) { r.Snapshot.Problem = long }))
	f.must(err)
	if s.GetProblem() != "" {
		t.Errorf("it has a problem of %d bytes", len(s.GetProblem()))
	}
	f.nothingUnderWay()
}

// TestImportsAtOnce are few of a client's, who may let them wait, and as many of another's.
func TestImportsAtOnce(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	b := f.archive("golden")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		begun, in := io.Pipe()
		all.Go(func() {
			f.Import(ctx, &bulkheadv1.ImportSnapshotHeader{}, "tester", begun) // which is given up
		})
		_, err := in.Write(b[:512])
		f.must(err)
	}
	_, err := f.take("x", b)
	f.kindIs(err, fault.Exhausted, fault.ReasonTooManySnapshots)
	_, err = f.Import(t.Context(), &bulkheadv1.ImportSnapshotHeader{Name: "others"}, "other", bytes.NewReader(b))
	f.must(err)
	cancel()
	all.Wait()
	_, err = f.take("x", b)
	f.must(err)
	f.nothingUnderWay()
}

// TestArchiveOfAnotherKVM is of a snapshot that no guest could go on from here.
func TestArchiveOfAnotherKVM(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	f.forgeManifest("golden", func(m *snapshot.Manifest) { m.HostProfile = "of another kind" })
	_, err := f.take("x", f.forgedArchive("golden"))
	f.kindIs(err, fault.Precondition, fault.ReasonUnfit)
	says(t, err, "host_profile", "of another kind")
	f.nothingUnderWay()
}

// TestNobodysArchive is of a snapshot that no node made.
func TestNobodysArchive(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	f.save("box", "golden")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Import(ctx, &bulkheadv1.ImportSnapshotHeader{Name: "x"}, "tester", bytes.NewReader(f.archive("golden")))
	if err != context.Canceled {
		t.Errorf("given up at once: %v", err)
	}
	b := f.forgedArchiveOf("golden", nil)
	_, err = f.take("x", b)
	f.kindIs(err, fault.Invalid, fault.ReasonBadArchive)
	says(t, err, "no node's")
	f.nothingUnderWay()
}
