package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	layers []*layer // of memory, uppermost first
	disks  []*large
}

// Open opens the snapshot at dir. Where nobody has read its large files through
// since they were written, Open does, which takes a second for each gigabyte or
// so. It fails with *CorruptError or *VersionError, or as the file system does.
func Open(dir string) (s *Snapshot, err error) {
	err = within(dir, func(d directory) error {
		if s, err = open(d, dir); err != nil {
			return err
		}
		if s.isVerified(d) {
			return nil
		}
		if err := s.Verify(); err != nil {
			return closeBoth(err, s)
		}
		setVerified(d, s.files())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// closeBoth returns err, and what comes of closing c.
func closeBoth(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// open does all but reading the large files.
func open(d directory, dir string) (*Snapshot, error) {
	files, digest, err := readSmall(d)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Dir: dir, Digest: digest}
	if s.Manifest, err = d.manifest(files[manifestName]); err != nil {
		return nil, err
	}
	if s.State, err = decodeState(files[stateName]); err != nil {
		return nil, &CorruptError{d.path(stateName), err.Error()}
	}
	for i := range s.Manifest.Layers {
		if err = s.addLayer(d, i, files); err != nil {
			return nil, closeBoth(err, s)
		}
	}
	for _, device := range s.Manifest.Devices {
		if device.File == "" {
			continue
		}
		l, err := openLarge(d, device.File, device.Bytes, files)
		if err != nil {
			return nil, closeBoth(err, s)
		}
		s.disks = append(s.disks, l)
	}
	return s, nil
}

// addLayer opens a layer of memory, of which the lowest has all.
func (s *Snapshot) addLayer(d directory, i int, files small) (err error) {
	name := layerName(i)
	l := &layer{base: i == s.Manifest.Layers-1}
	size := s.Manifest.MemoryBytes
	if !l.base {
		if files[name+mapSuffix] == nil {
			return &CorruptError{d.path(sumsName), "it doesn't have " + name + mapSuffix}
		}
		if l.pages, err = decodePages(files[name+mapSuffix], size); err != nil {
			return &CorruptError{d.path(name + mapSuffix), err.Error()}
		}
		size = l.pages.size()
	}
	if l.large, err = openLarge(d, name, size, files); err == nil {
		s.layers = append(s.layers, l)
	}
	return err
}

// openLarge opens a large file, whose sums are among files.
func openLarge(d directory, name string, size uint64, files small) (*large, error) {
	sums := chunks(files[name+sumsSuffix])
	if want := 4 * countChunks(size); uint64(len(sums)) != want {
		return nil, &CorruptError{d.path(name + sumsSuffix), fmt.Sprintf("it has %d bytes, not %d", len(sums), want)}
	}
	f, err := d.openWhole(name)
	if err != nil {
		return nil, err
	}
	l := &large{name: name, file: f, size: size, sums: sums}
	info, err := f.Stat()
	if err == nil && info.Size() != int64(size) {
		err = &CorruptError{f.Name(), fmt.Sprintf("it has %d bytes, not %d", info.Size(), size)}
	}
	if err != nil {
		return nil, closeBoth(err, l)
	}
	l.verified, _ = openVerified(d, name) // or it is read through each time
	return l, nil
}

// files returns the large ones.
func (s *Snapshot) files() []*large {
	all := make([]*large, 0, len(s.layers)+len(s.disks))
	for _, l := range s.layers {
		all = append(all, l.large)
	}
	return append(all, s.disks...)
}

// isVerified reports whether the large files are as they were when somebody read them
// through.
func (s *Snapshot) isVerified(d directory) bool {
	files := s.files()
	for _, l := range files {
		if l.isVerified() {
			continue
		}
		if !wereVerified(d, files) {
			return false
		}
		setVerified(d, files) // as it is done now
		return true
	}
	return true
}

// Verify reads the large files and checks them.
func (s *Snapshot) Verify() error {
	for _, l := range s.files() {
		if err := verifyLarge(l.file, l.size, l.sums); err != nil {
			return err
		}
	}
	return nil
}

// Memory returns RAM that begins as the snapshot's and is the caller's.
func (s *Snapshot) Memory() (*memory.Memory, error) { return view(s.layers, s.Manifest.MemoryBytes) }

// CopyTo makes a file at path, where nothing is, of what the snapshot has of a
// device's, and reports false if it has nothing. There is a whole file or none,
// whoever is killed; path with ".part" behind it is used meanwhile.
func (s *Snapshot) CopyTo(path, device string) (bool, error) {
	for _, l := range s.disks {
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
	_, ok, err := clone(f, src)
	if err == nil && !ok {
		_, err = writeCopy(context.Background(), f, src)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, part, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return syncDir(filepath.Dir(path))
}

// Close frees the descriptors; memory that was made stays. It may be called twice.
func (s *Snapshot) Close() (err error) {
	for _, l := range s.files() {
		err = errors.Join(err, l.Close())
	}
	s.layers, s.disks = nil, nil
	return err
}
