package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func (f *fixture) snapshots() string { return filepath.Join(f.config.StateDir, "snapshots") }

// left returns what there is in the directory of snapshots.
func (f *fixture) left() (names []string) {
	f.t.Helper()
	entries, err := os.ReadDir(f.snapshots())
	f.must(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// untilLeft waits until there is nothing but that.
func (f *fixture) untilLeft(want ...string) {
	f.t.Helper()
	for began := time.Now(); strings.Join(f.left(), " ") != strings.Join(want, " "); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("left: %q, not %q", f.left(), want)
		}
	}
}

// saved makes a snapshot called golden, and returns its archive.
func (f *fixture) saved(format bulkheadv1.SnapshotFormat) (*bulkheadv1.Snapshot, []byte) {
	f.t.Helper()
	if f.left() == nil {
		f.start("box", &bulkheadv1.Command{Args: []string{"sleep", "1000"}})
		_, err := f.Snapshot(f.t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden", Labels: map[string]string{"app": "web"}})
		f.must(err)
	}
	var b bytes.Buffer
	s, err := f.ExportSnapshot(f.t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden", Format: format}, &b)
	f.must(err)
	return s, b.Bytes()
}

const (
	formatOCI = bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_OCI
	formatTar = bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_TAR
)

// TestArchives has a snapshot go to another node, and from there back.
func TestArchives(t *testing.T) {
	here, there := serve(t), serve(t)
	for format, name := range map[bulkheadv1.SnapshotFormat]string{formatOCI: "oci", formatTar: "tar", 0: "any"} {
		s, b := here.saved(format)
		if s.GetName() != "golden" || len(b) > 64<<10 {
			t.Errorf("%v in %d bytes", s, len(b))
		}
		got, err := there.ImportSnapshot(t.Context(), name, bytes.NewReader(b))
		there.must(err)
		if got.GetName() != name || got.GetDigest() != s.GetDigest() || got.GetUid() != s.GetUid() || got.GetLabels()["app"] != "web" ||
			got.GetMemoryBytes() != s.GetMemoryBytes() || got.GetSandbox() != "box" {
			t.Errorf("%v has come as %v", s, got)
		}
		var st unix.Stat_t
		there.must(unix.Stat(filepath.Join(there.snapshots(), name, "memory"), &st))
		if st.Size != 128<<20 || st.Blocks*512 > 1<<20 {
			t.Errorf("memory has %d bytes, and takes %d", st.Size, st.Blocks*512)
		}
		open, err := snapshot.Open(filepath.Join(there.snapshots(), name))
		there.must(err)
		there.must(errors.Join(open.Verify(), open.Close()))
		box, err := there.Create(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "of-" + name, Spec: &bulkheadv1.SandboxSpec{Snapshot: name}})
		there.must(err)
		_, err = there.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: box.GetName()})
		there.must(err)
		if out, _, _ := there.run(box.GetName(), &bulkheadv1.Command{Args: []string{"echo", "hi"}}, ""); out != "hi\n" {
			t.Errorf("output %q", out)
		}
	}
	var b bytes.Buffer
	_, err := there.ExportSnapshot(t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "oci"}, &b)
	there.must(err)
	back, err := here.ImportSnapshot(t.Context(), "", &b)
	here.must(err)
	if s, _ := here.saved(0); back.GetName() != "oci" || back.GetDigest() != s.GetDigest() {
		t.Errorf("%v has come back as %v", s, back)
	}
	here.untilLeft("golden", "oci")
}

func TestArchivesRefused(t *testing.T) {
	f := serve(t)
	_, b := f.saved(formatOCI)
	for name, tt := range map[string]struct {
		as     string
		b      []byte
		code   codes.Code
		reason string
	}{
		"taken":          {"golden", b, codes.AlreadyExists, "NAME_TAKEN"},
		"taken, unnamed": {"", b, codes.AlreadyExists, "NAME_TAKEN"},
		"a bad name":     {"../x", b, codes.InvalidArgument, "INVALID_REQUEST"},
		"nothing":        {"x", nil, codes.InvalidArgument, "BAD_ARCHIVE"},
		"half of it":     {"x", b[:len(b)/2], codes.InvalidArgument, "BAD_ARCHIVE"},
		"something else": {"x", bytes.Repeat([]byte("x"), 3<<20), codes.InvalidArgument, "BAD_ARCHIVE"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.ImportSnapshot(t.Context(), tt.as, bytes.NewReader(tt.b))
			f.refused(err, tt.code, tt.reason)
			f.untilLeft("golden")
		})
	}
	stream, err := f.Snapshots.ImportSnapshot(t.Context())
	f.must(err)
	f.must(stream.Send(&bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Data{Data: b}}))
	_, err = stream.CloseAndRecv()
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	stream, err = f.Snapshots.ImportSnapshot(t.Context())
	f.must(err)
	header := &bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Header{Header: &bulkheadv1.ImportSnapshotHeader{Name: "x"}}}
	f.must(stream.Send(header))
	f.must(stream.Send(&bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Data{Data: make([]byte, 1<<20+1)}}))
	_, err = stream.CloseAndRecv()
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	for reason, r := range map[string]*bulkheadv1.ExportSnapshotRequest{
		"SNAPSHOT_NOT_FOUND": {Name: "none"}, "INVALID_REQUEST": {Name: "golden", Format: 9},
	} {
		_, err := f.ExportSnapshot(t.Context(), r, io.Discard)
		f.refused(err, map[string]codes.Code{"SNAPSHOT_NOT_FOUND": codes.NotFound, "INVALID_REQUEST": codes.InvalidArgument}[reason], reason)
	}
	_, err = f.ExportSnapshot(t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden", Uid: "another"}, io.Discard)
	f.refused(err, codes.NotFound, "SNAPSHOT_NOT_FOUND")
	f.must(os.WriteFile(filepath.Join(f.snapshots(), "golden", "state"), []byte("x"), 0o600))
	_, err = f.ExportSnapshot(t.Context(), &bulkheadv1.ExportSnapshotRequest{Name: "golden"}, io.Discard)
	f.refused(err, codes.FailedPrecondition, "SNAPSHOT_DAMAGED")
}

// makeLarge has golden's memory have so many bytes that no buffer on the way takes
// them, as it is exported.
func (f *fixture) makeLarge() {
	f.t.Helper()
	dir := filepath.Join(f.snapshots(), "golden")
	noise := make([]byte, 24<<20)
	for i, x := 0, uint64(1); i+8 <= len(noise); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		for j := range 8 {
			noise[i+j] = byte(x >> (8 * j))
		}
	}
	file, err := os.OpenFile(filepath.Join(dir, "memory"), os.O_RDWR, 0)
	f.must(err)
	_, err = file.WriteAt(noise, 0)
	f.must(errors.Join(err, file.Close()))
	resum(f.t, dir)
}

// TestGivenUpArchives: who stops reading, or writing, leaves neither a file nor a
// goroutine.
func TestGivenUpArchives(t *testing.T) {
	f := serve(t)
	f.saved(formatOCI)
	f.makeLarge()
	_, b := f.saved(formatOCI)
	f.untilIdle()
	before := runtime.NumGoroutine()
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := f.Snapshots.ExportSnapshot(ctx, &bulkheadv1.ExportSnapshotRequest{Name: "golden"})
		f.must(err)
		_, err = stream.Recv()
		f.must(err)
		time.Sleep(100 * time.Millisecond) // and reads no more
		cancel()
		_, err = f.ImportSnapshot(t.Context(), "half", io.MultiReader(bytes.NewReader(b[:len(b)/2]), broken{}))
		if !errors.Is(err, errBroken) {
			t.Errorf("import of what can't be read: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err = f.ImportSnapshot(ctx, "late", io.MultiReader(bytes.NewReader(b[:len(b)/2]), stuck{ctx}))
		if code := status.Code(err); code != codes.DeadlineExceeded && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("import after its deadline: %v", err)
		}
		cancel()
	}
	f.untilLeft("golden")
	f.untilIdle()
	for began := time.Now(); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, there were %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// untilIdle waits until the node has no scratch file open.
func (f *fixture) untilIdle() {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		open := 0
		links, err := filepath.Glob("/proc/self/fd/*")
		f.must(err)
		for _, l := range links {
			if to, _ := os.Readlink(l); strings.HasPrefix(to, f.snapshots()) {
				open++
			}
		}
		if open == 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			f.t.Fatalf("%d files are open", open)
		}
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// stuck is a reader that waits.
type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// TestClosingNode has a node close while clients are at archives, and don't go on.
func TestClosingNode(t *testing.T) {
	f := serve(t)
	f.saved(formatOCI)
	stream, err := f.Snapshots.ImportSnapshot(t.Context())
	f.must(err)
	f.must(stream.Send(&bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Header{Header: &bulkheadv1.ImportSnapshotHeader{Name: "x"}}}))
	f.untilImports()
	_, err = f.DeleteSandbox(t.Context(), &bulkheadv1.DeleteSandboxRequest{Name: "box", Force: true})
	f.must(err)
	closed := make(chan error, 1)
	go func() { closed <- f.node.Close() }()
	select {
	case err := <-closed:
		f.must(err)
	case <-time.After(10 * time.Second):
		t.Fatal("the node waits for a client")
	}
	_, err = stream.CloseAndRecv()
	f.refused(err, codes.Unavailable, "NODE_CLOSING")
	f.untilLeft("golden")
}

// untilImports waits until an import is under way.
func (f *fixture) untilImports() {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if names := f.left(); strings.HasPrefix(names[0], ".import-") {
			return
		}
		if time.Since(began) > 10*time.Second {
			f.t.Fatal("no import is under way")
		}
	}
}
