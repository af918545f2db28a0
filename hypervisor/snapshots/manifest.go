package snapshots

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// manifest is what is read here of snapshot.Manifest, which the workers write.
type manifest struct {
	Version     int           `json:"version"`
	Created     time.Time     `json:"created"`
	Program     string        `json:"program"`
	HostProfile string        `json:"hostProfile"`
	CPUVendor   string        `json:"cpuVendor"`
	CPUs        uint32        `json:"cpus"`
	MemoryBytes uint64        `json:"memoryBytes"`
	Devices     []device      `json:"devices"`
	StoredBytes uint64        `json:"storedBytes"`
	Pause       time.Duration `json:"pauseNs"`

	Owner json.RawMessage `json:"owner"`
}

type device struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Bytes uint64 `json:"bytes"`
}

const (
	// version is that of the format, up to which manifests are read here.
	version = 1
	// maxManifest is more bytes than a specification has.
	maxManifest = 8 << 20
	maxSums     = 64 << 10
)

// Owner returns what a worker is to keep with a snapshot.
func Owner(r *storev1.Snapshot) ([]byte, error) { return protojson.Marshal(r) }

// read reads what the snapshot at path says of itself.
func read(path string) (*Snapshot, error) {
	text, err := readFile(filepath.Join(path, "manifest.json"), maxManifest)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if m.Version < 1 || m.Version > version {
		return nil, fmt.Errorf("manifest.json: its format is of version %d, this program reads up to %d: use the program that made it, or a later one", m.Version, version)
	}
	if len(m.Owner) == 0 {
		return nil, errors.New("manifest.json: it is no node's: it doesn't say what it is of")
	}
	s := &Snapshot{Path: path, Record: new(storev1.Snapshot)}
	lenient := protojson.UnmarshalOptions{DiscardUnknown: true} // of later nodes
	if err := lenient.Unmarshal(m.Owner, s.Record); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if s.Record.Snapshot == nil || len(s.Record.GetImages()) == 0 {
		return nil, errors.New("manifest.json: it is no node's: it doesn't say what it is of")
	}
	sums, err := readFile(filepath.Join(path, "SHA256SUMS"), maxSums)
	if err != nil {
		return nil, err
	}
	m.describe(s.Record.GetSnapshot())
	sum := sha256.Sum256(sums)
	s.Record.Snapshot.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return s, nil
}

// describe fills in what the manifest says.
func (m *manifest) describe(s *bulkheadv1.Snapshot) {
	s.CreateTime, s.Pause = timestamppb.New(m.Created), durationpb.New(m.Pause)
	s.Version, s.HostProfile, s.CpuVendor = m.Program, m.HostProfile, m.CPUVendor
	s.Cpus, s.MemoryBytes, s.StoredBytes = m.CPUs, m.MemoryBytes, m.StoredBytes
	s.Devices = nil
	for _, d := range m.Devices {
		s.Devices = append(s.Devices, &bulkheadv1.SnapshotDevice{Name: d.Name, Type: d.Type, StoredBytes: d.Bytes})
	}
}

// readFile reads one of up to limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	// A link may lead anywhere, and a FIFO is waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", filepath.Base(path)))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(path), limit)
	}
	return b, err
}
