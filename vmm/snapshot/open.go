package snapshot

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Snapshot is an open snapshot, known to be whole. Its owner closes it.
type Snapshot struct {
	Dir      string
	Digest   string // of all of it: "sha256:" and 64 digits
	Manifest *Manifest
	State    *statev1.Machine

	memory *os.File
	sums   chunks
}

// Open opens the snapshot at dir. Where nobody has read its memory through since
// it was written, Open does, which takes a second for each gigabyte or so. It
// fails with *CorruptError or *VersionError, or as the file system does.
func Open(dir string) (*Snapshot, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	if isVerified(dir, s.memory) {
		return s, nil
	}
	if err := s.Verify(); err != nil {
		s.Close()
		return nil, err
	}
	setVerified(dir, s.memory)
	return s, nil
}

// open does all but reading the memory.
func open(dir string) (*Snapshot, error) {
	files, digest, err := readListed(dir)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Dir: dir, Digest: digest, sums: files[chunksName]}
	if s.Manifest, err = decodeManifest(files[manifestName]); err != nil {
		return nil, err
	}
	if s.State, err = decodeState(files[stateName]); err != nil {
		return nil, err
	}
	if want := 4 * countChunks(s.Manifest.MemoryBytes); uint64(len(s.sums)) != want {
		return nil, &CorruptError{filepath.Join(dir, chunksName), fmt.Sprintf("it has %d bytes, not %d", len(s.sums), want)}
	}
	return s, s.openMemory()
}

func (s *Snapshot) openMemory() error {
	path := filepath.Join(s.Dir, memoryName)
	f, err := os.Open(path)
	if err != nil {
		return &CorruptError{path, err.Error()}
	}
	info, err := f.Stat()
	if err == nil && info.Size() != int64(s.Manifest.MemoryBytes) {
		err = &CorruptError{path, fmt.Sprintf("it has %d bytes, not %d", info.Size(), s.Manifest.MemoryBytes)}
	}
	if err != nil {
		f.Close()
		return err
	}
	s.memory = f
	return nil
}

// Verify reads the memory file and checks it.
func (s *Snapshot) Verify() error { return verifyMemory(s.memory, s.Manifest.MemoryBytes, s.sums) }

// Memory returns RAM that begins as the snapshot's and is the caller's.
func (s *Snapshot) Memory() (*memory.Memory, error) {
	return memory.FromFile(s.memory, s.Manifest.MemoryBytes)
}

// Close frees the descriptor; memory that was made stays.
func (s *Snapshot) Close() error { return s.memory.Close() }
