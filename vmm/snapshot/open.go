package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Snapshot is an open snapshot, known to be whole. Its owner closes it.
type Snapshot struct {
	Dir      string
	Digest   string // of all of it: "sha256:" and 64 digits
	Manifest *Manifest
	State    *statev1.Machine

	files []*large // memory first
}

// Open opens the snapshot at dir. Where nobody has read its large files through
// since they were written, Open does, which takes a second for each gigabyte or
// so. It fails with *CorruptError or *VersionError, or as the file system does.
func Open(dir string) (*Snapshot, error) {
	s, err := open(dir)
	if err != nil {
		return nil, err
	}
	if isVerified(dir, s.files) {
		return s, nil
	}
	if err := s.Verify(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	setVerified(dir, s.files)
	return s, nil
}

// open does all but reading the large files.
func open(dir string) (*Snapshot, error) {
	files, digest, err := readSmall(dir)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Dir: dir, Digest: digest}
	if s.Manifest, err = decodeManifest(files[manifestName]); err != nil {
		return nil, err
	}
	if s.State, err = decodeState(files[stateName]); err != nil {
		return nil, err
	}
	err = s.add(memoryName, s.Manifest.MemoryBytes, files)
	for _, d := range s.Manifest.Devices {
		if d.File != "" && err == nil {
			err = s.add(d.File, d.Bytes, files)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// add opens a large file, whose sums are among files.
func (s *Snapshot) add(name string, size uint64, files small) error {
	sums := chunks(files[name+sumsSuffix])
	if want := 4 * countChunks(size); uint64(len(sums)) != want {
		return &CorruptError{filepath.Join(s.Dir, name+sumsSuffix), fmt.Sprintf("it has %d bytes, not %d", len(sums), want)}
	}
	path := filepath.Join(s.Dir, name)
	f, err := openRegular(path)
	if err != nil {
		return &CorruptError{path, err.Error()}
	}
	s.files = append(s.files, &large{name, f, size, sums})
	info, err := f.Stat()
	if err == nil && info.Size() != int64(size) {
		err = &CorruptError{path, fmt.Sprintf("it has %d bytes, not %d", info.Size(), size)}
	}
	return err
}

// Verify reads the large files and checks them.
func (s *Snapshot) Verify() error {
	for _, l := range s.files {
		if err := verifyLarge(l.file, l.size, l.sums); err != nil {
			return err
		}
	}
	return nil
}

// Memory returns RAM that begins as the snapshot's and is the caller's.
func (s *Snapshot) Memory() (*memory.Memory, error) {
	return memory.FromFile(s.files[0].file, s.Manifest.MemoryBytes)
}

// Content returns what that RAM begins as, until Close.
func (s *Snapshot) Content() memory.Content {
	return memory.FileContent(s.files[0].file, s.Manifest.MemoryBytes)
}

// CopyTo makes a file at path, where nothing is, of what the snapshot has of a
// device's, and reports false if it has nothing. There is a whole file or none,
// whoever is killed; path with ".part" behind it is used meanwhile.
func (s *Snapshot) CopyTo(path, device string) (bool, error) {
	for _, l := range s.files[1:] {
		if l.name == device {
			if err := copyOut(l.file, path); err != nil {
				return true, fmt.Errorf("copy %s's file out of the snapshot: %w", device, err)
			}
			return true, nil
		}
	}
	return false, nil
}

func copyOut(src *os.File, path string) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) { // of who was killed
		return err
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = writeCopy(context.Background(), f, src)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return syncDir(filepath.Dir(path))
}

// Close frees the descriptors; memory that was made stays.
func (s *Snapshot) Close() (err error) {
	for _, l := range s.files {
		err = errors.Join(err, l.file.Close())
	}
	return err
}
