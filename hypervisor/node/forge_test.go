package node_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

type record = storev1.Snapshot

// forge has a snapshot's manifest say something else, with sums that fit.
func (f *fixture) forge(name string, change func(*record)) {
	f.t.Helper()
	path := filepath.Join(f.snapshotDir(name), "manifest.json")
	b, err := os.ReadFile(path)
	f.must(err)
	manifest := map[string]json.RawMessage{}
	f.must(json.Unmarshal(b, &manifest))
	r := new(record)
	f.must(protojson.Unmarshal(manifest["owner"], r))
	if change == nil {
		delete(manifest, "owner")
	} else {
		change(r)
		manifest["owner"], err = protojson.Marshal(r)
		f.must(err)
	}
	f.putManifest(name, manifest)
}

// forgeManifest changes what else it says.
func (f *fixture) forgeManifest(name string, change func(*snapshot.Manifest)) {
	f.t.Helper()
	m, _, err := snapshot.Read(f.snapshotDir(name))
	f.must(err)
	change(m)
	f.putManifest(name, m)
}

// putManifest has a snapshot have another one, with its sum.
func (f *fixture) putManifest(name string, manifest any) {
	f.t.Helper()
	b, err := json.Marshal(manifest)
	f.must(err)
	f.must(os.WriteFile(filepath.Join(f.snapshotDir(name), "manifest.json"), b, 0o600))
	sums := filepath.Join(f.snapshotDir(name), "SHA256SUMS")
	old, err := os.ReadFile(sums)
	f.must(err)
	var lines strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasSuffix(line, "  manifest.json\n") {
			line = fmt.Sprintf("%x  manifest.json\n", sha256.Sum256(b))
		}
		lines.WriteString(line)
	}
	f.must(os.WriteFile(sums, []byte(lines.String()), 0o600))
}

// forgedArchive is one that no node would export.
func (f *fixture) forgedArchive(name string) []byte {
	f.t.Helper()
	var b bytes.Buffer
	images := []*archive.Image{{Path: "/x", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("fake"))), Bytes: 4}}
	f.must(archive.Write(f.t.Context(), &b, archive.Plain, archive.Source{Dir: f.snapshotDir(name), Info: archive.Info{Name: name, Images: images}}))
	return b.Bytes()
}

// forgedArchiveOf forges it first.
func (f *fixture) forgedArchiveOf(name string, change func(*record)) []byte {
	f.t.Helper()
	f.forge(name, change)
	return f.forgedArchive(name)
}
