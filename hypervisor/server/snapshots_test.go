package server_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestSnapshots(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	s, err := f.Client.Snapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	f.must(err)
	_, err = f.Snapshots.CreateSnapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "golden"})
	f.refused(err, codes.AlreadyExists, "NAME_TAKEN")
	box, err := f.Create(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "clone", Spec: &bulkheadv1.SandboxSpec{Snapshot: "golden"}})
	f.must(err)
	_, err = f.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: box.GetName()})
	f.must(err)
	if out, _, _ := f.run("clone", &bulkheadv1.Command{Args: []string{"echo", "hi"}}, ""); out != "hi\n" {
		t.Errorf("output %q", out)
	}
	made, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "clone", Count: 2})
	f.must(err)
	if len(made) != 2 {
		t.Errorf("copies %v", made)
	}
	list, err := f.Snapshots.ListSnapshots(t.Context(), &bulkheadv1.ListSnapshotsRequest{})
	f.must(err)
	got, err := f.Snapshots.GetSnapshot(t.Context(), &bulkheadv1.GetSnapshotRequest{Name: "golden"})
	f.must(err)
	if len(list.GetSnapshots()) != 1 || got.GetSnapshot().GetDigest() != s.GetDigest() {
		t.Errorf("%v, %v, %v", s, list, got)
	}
	_, err = f.Snapshots.DeleteSnapshot(t.Context(), &bulkheadv1.DeleteSnapshotRequest{Name: "golden", Uid: s.GetUid()})
	f.must(err)
	_, err = f.Snapshots.DeleteSnapshot(t.Context(), &bulkheadv1.DeleteSnapshotRequest{Name: "golden"})
	f.refused(err, codes.NotFound, "SNAPSHOT_NOT_FOUND")
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.ResourceInfo); ok && (r.GetResourceType() != "snapshot" || r.GetResourceName() != "golden") {
			t.Errorf("resource %v", r)
		}
	}
	_, err = f.Snapshots.CreateSnapshot(t.Context(), &bulkheadv1.CreateSnapshotRequest{Sandbox: "box", Name: "../x"})
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = f.Create(t.Context(), &bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Snapshot: "golden"}})
	f.refused(err, codes.NotFound, "SNAPSHOT_NOT_FOUND")
}
