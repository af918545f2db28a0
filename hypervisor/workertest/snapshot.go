package workertest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Files of a snapshot, as package vmm/snapshot has them, which takes it for whole. The
// state is of no machine; guestName, which is ours, is the guest's mainName.
const (
	manifestName = "manifest.json"
	stateName    = "state"
	guestName    = "guest.json"
	memoryName   = "memory"
	sumsName     = "SHA256SUMS"

	stateMagic = "bulkhead machine state 1\n"
	mapMagic   = "bulkhead page map 1\n"

	maxLayers = 8
)

// fakeMemory is what a fake machine has in its memory, from its beginning on.
const fakeMemory = "a fake machine's memory"

// lineage is what a machine was saved as last.
type lineage struct {
	uid    string // empty: it wasn't
	layers int
}

// Snapshot implements vmmv1.WorkerService.
func (w *worker) Snapshot(ctx context.Context, r *vmmv1.SnapshotRequest) (*vmmv1.SnapshotResponse, error) {
	w.mu.Lock()
	c, state, from := w.config, w.state, w.from
	w.mu.Unlock()
	if r.GetWhole() {
		from = lineage{}
	}
	switch {
	case state != vmmv1.MachineState_MACHINE_STATE_RUNNING && state != vmmv1.MachineState_MACHINE_STATE_PAUSED:
		return nil, status.Error(codes.FailedPrecondition, "the machine hasn't been started, or has ended")
	case w.has(c, WordHungSave):
		select {} // also when its owner has gone
	case w.has(c, WordFullSave):
		return nil, refuse(&os.PathError{Op: "write", Path: r.GetPath(), Err: syscall.ENOSPC})
	case w.has(c, WordSlowSave):
		time.Sleep(time.Second)
	}
	if _, err := os.Lstat(r.GetPath()); err == nil {
		return nil, status.Error(codes.AlreadyExists, r.GetPath()+" exists")
	}
	work, err := os.MkdirTemp(filepath.Dir(r.GetPath()), ".saving-"+filepath.Base(r.GetPath())+"-")
	if err == nil {
		err = w.write(work, r, c, from)
	}
	if err == nil && !r.GetUnpublished() {
		err = publish(work, r.GetPath())
	}
	if err != nil {
		return nil, refuse(errors.Join(err, os.RemoveAll(work)))
	}
	w.mu.Lock()
	w.from, w.unpublished = lineage{r.GetUid(), min(from.layers+1, maxLayers-1)}, work
	w.mu.Unlock()
	return &vmmv1.SnapshotResponse{PauseNs: 1e6, StoredBytes: uint64(len(fakeMemory))}, nil
}

// write writes a snapshot's files.
func (w *worker) write(dir string, r *vmmv1.SnapshotRequest, c *vmmv1.MachineConfig, from lineage) error {
	devices := []map[string]any{}
	for i := range c.GetDisks() {
		devices = append(devices, map[string]any{"name": fmt.Sprintf("blk%d", i), "type": "blk"})
	}
	fields := map[string]any{
		"version": 1, "uid": r.GetUid(), "layers": from.layers + 1, "whole": "it is a fake one", "created": time.Now().UTC(), "program": "fake", "hostProfile": "fake", "cpuVendor": "FakeFakeFake",
		"cpus": max(1, c.GetCpus()), "memoryBytes": c.GetMemoryBytes(), "transport": "mmio", "devices": devices,
		"storedBytes": len(fakeMemory), "pauseNs": 1e6, "owner": json.RawMessage(r.GetOwner()),
	}
	if from.layers > 0 {
		fields["version"], fields["whole"], fields["parent"] = 2, "", map[string]any{"uid": from.uid, "digest": "sha256:fake"}
	}
	manifest, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		return err
	}
	guest, err := os.ReadFile(filepath.Join(w.guestDir(), mainName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	base := layerName(from.layers) // those above it have nothing
	files := map[string][]byte{manifestName: manifest, stateName: []byte(stateMagic), guestName: guest, base + ".sums": memorySums(c.GetMemoryBytes())}
	for i := range from.layers {
		files[layerName(i)+".sums"], files[layerName(i)+".map"] = nil, []byte(mapMagic)
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(files[name]), name)
	}
	files[sumsName], files[base] = []byte(sums.String()), []byte(fakeMemory)
	for i := range from.layers {
		files[layerName(i)] = nil
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return os.Truncate(filepath.Join(dir, base), int64(c.GetMemoryBytes()))
}

// layerName is the file of the layer that is so many below the uppermost.
func layerName(i int) string {
	if i == 0 {
		return memoryName
	}
	return fmt.Sprintf("%s.%d", memoryName, i)
}

// lowest is the layer of a snapshot that has all of memory.
func lowest(dir string) string {
	for i := maxLayers - 1; i > 0; i-- {
		path := filepath.Join(dir, layerName(i))
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return filepath.Join(dir, memoryName)
}

// memorySums are the CRC-32C of each MiB of a fake machine's memory.
func memorySums(size uint64) (sums []byte) {
	const chunk = 1 << 20
	b, table := make([]byte, chunk), crc32.MakeTable(crc32.Castagnoli)
	zeroes := crc32.Checksum(b, table)
	for at := uint64(0); at < size; at += chunk {
		sum, n := zeroes, min(chunk, size-at)
		switch {
		case at == 0:
			sum = crc32.Checksum(append([]byte(fakeMemory), b[len(fakeMemory):n]...), table)
		case n < chunk:
			sum = crc32.Checksum(b[:n], table)
		}
		sums = binary.LittleEndian.AppendUint32(sums, sum)
	}
	return sums
}

// restoreFrom looks whether a snapshot is whole, and remembers its state. The caller
// holds w.mu.
func (w *worker) restoreFrom(path string, c *vmmv1.MachineConfig) error {
	f, err := os.Open(lowest(path))
	if err != nil {
		return refuse(err)
	}
	defer f.Close()
	memory := make([]byte, len(fakeMemory))
	if _, err := f.ReadAt(memory, 0); err != nil && !errors.Is(err, io.EOF) {
		return refuse(err)
	}
	if string(memory) != fakeMemory {
		return status.Errorf(codes.InvalidArgument, "snapshot file %s is damaged: its sum is another", filepath.Join(path, memoryName))
	}
	state, err := os.ReadFile(filepath.Join(path, guestName))
	if err != nil {
		return refuse(err)
	}
	for _, d := range c.GetDisks() {
		if d.GetOverlay() != "" {
			if err := os.WriteFile(d.GetOverlay(), []byte("the snapshot's"), 0o600); err != nil {
				return refuse(err)
			}
		}
	}
	w.cut = w.has(c, WordCut)
	w.saved = filepath.Join(w.dir, stateName) // the snapshot may go
	return os.WriteFile(w.saved, state, 0o600)
}

func writeMessage(path string, m proto.Message) error {
	b, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
