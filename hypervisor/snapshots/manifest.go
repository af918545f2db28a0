package snapshots

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Owner returns what a worker is to keep with a snapshot.
func Owner(r *storev1.Snapshot) ([]byte, error) { return protojson.Marshal(r) }

// read reads what the snapshot at path says of itself.
func read(path string) (*Snapshot, error) {
	m, digest, err := snapshot.Read(path)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Path: path, Record: new(storev1.Snapshot)}
	if len(m.Owner) > 0 {
		lenient := protojson.UnmarshalOptions{DiscardUnknown: true} // of later nodes
		if err := lenient.Unmarshal(m.Owner, s.Record); err != nil {
			return nil, fmt.Errorf("its owner's record: %w", err)
		}
	}
	if s.Record.Snapshot == nil || len(s.Record.GetImages()) == 0 {
		return nil, errors.New("it is no node's: it doesn't say what it is of")
	}
	describe(s.Record.GetSnapshot(), m)
	s.Record.Snapshot.Digest = digest
	known, err := readImported(path)
	if err == nil && known != nil {
		err = known.apply(s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// describe fills in what a manifest says.
func describe(s *bulkheadv1.Snapshot, m *snapshot.Manifest) {
	s.CreateTime, s.Pause = timestamppb.New(m.Created), durationpb.New(m.Pause)
	s.Version, s.HostProfile, s.CpuVendor = m.Program, m.HostProfile, m.CPUVendor
	s.Cpus, s.MemoryBytes, s.StoredBytes = uint32(m.CPUs), m.MemoryBytes, m.StoredBytes
	s.Layers, s.WholeReason = uint32(m.Layers), m.Whole
	s.ParentUid, s.ParentDigest = "", ""
	if m.Parent != nil {
		s.ParentUid, s.ParentDigest = m.Parent.UID, m.Parent.Digest
	}
	s.Devices, s.Problem = nil, "" // which isn't its own to say
	for _, d := range m.Devices {
		s.Devices = append(s.Devices, &bulkheadv1.SnapshotDevice{Name: d.Name, Type: d.Type, StoredBytes: d.Bytes})
	}
}
