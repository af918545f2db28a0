package snapshots

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// Prefixes of what isn't a snapshot of its own, or not yet.
const (
	stagePrefix = ".new-"
	forkPrefix  = ".fork-"
	gonePrefix  = ".gone-"
	mergePrefix = ".saving-" // package snapshot's
)

// idLength is that of what newID returns, and a dash.
const idLength = 13

// wholeName is that of a snapshot within a stage or a fork.
const wholeName = "snapshot"

// newID returns twelve characters that nobody else has.
func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Stage is where a snapshot of a sandbox is written. As long as it is there the
// sandbox may be standing still for it.
type Stage struct {
	dir  *Dir
	name string
	lock *os.File // of a directory that is shared; nil: none
}

// Stage makes one.
func (d *Dir) Stage(sandbox string) (*Stage, error) {
	s := &Stage{dir: d, name: stagePrefix + sandbox + "-" + newID()}
	if err := s.make(); err != nil {
		return nil, fmt.Errorf("directory of a snapshot: %w", err)
	}
	return s, nil
}

func (s *Stage) make() error {
	if s.dir.shared {
		return s.makeLocked()
	}
	return os.Mkdir(s.dir.named(s.name), 0o700)
}

// Read returns the snapshot that was written.
func (s *Stage) Read() (*Snapshot, error) { return read(s.Path()) }

// Path is where the snapshot is to be written.
func (s *Stage) Path() string { return filepath.Join(s.dir.named(s.name), wholeName) }

// Sandbox returns whose the stage is.
func (s *Stage) Sandbox() string {
	name := strings.TrimPrefix(s.name, stagePrefix)
	return name[:max(0, len(name)-idLength)]
}

// Publish gives the snapshot that was written its name. It fails with ErrTaken if
// there is another one.
func (s *Stage) Publish(name string) error { return s.dir.put(s.Path(), s.dir.named(name)) }

// Hand gives it to a fork.
func (s *Stage) Hand(f *Fork) error { return s.dir.put(s.Path(), f.Path()) }

// empty removes what was written, whole or not, and leaves the stage as a sign.
func (s *Stage) empty() error {
	entries, err := os.ReadDir(s.dir.named(s.name))
	for _, e := range entries {
		err = errors.Join(err, snapshot.RemoveAll(filepath.Join(s.dir.named(s.name), e.Name())))
	}
	return err
}

// Close removes the stage, and what wasn't published.
func (s *Stage) Close() error {
	err := snapshot.RemoveAll(s.dir.named(s.name))
	if err == nil {
		s.Release()
	}
	return err
}

// Release leaves the stage to whoever finds it.
func (s *Stage) Release() {
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

// Fork is a snapshot that several sandboxes go on from, which belong to each other
// as long as it is there.
type Fork struct {
	dir  *Dir
	name string
}

// Fork makes one, in which no snapshot is yet.
func (d *Dir) Fork() (*Fork, error) {
	f := &Fork{d, forkPrefix + newID()}
	if err := os.Mkdir(d.named(f.name), 0o700); err != nil {
		return nil, fmt.Errorf("directory of a fork: %w", err)
	}
	return f, syncDir(d.path)
}

// Name is what OpenFork takes.
func (f *Fork) Name() string { return f.name }

// Path is where the snapshot is.
func (f *Fork) Path() string { return filepath.Join(f.dir.named(f.name), wholeName) }

// OpenFork returns the snapshot of a fork. It fails with fs.ErrNotExist once the
// fork is over.
func (d *Dir) OpenFork(name string) (*Snapshot, error) {
	if !d.Forking(name) {
		return nil, fs.ErrNotExist
	}
	s, err := read((&Fork{d, name}).Path())
	if err != nil {
		return nil, explain(name, err)
	}
	return s, nil
}

// Forking reports whether there is such a fork.
func (d *Dir) Forking(name string) bool {
	if !strings.HasPrefix(name, forkPrefix) || filepath.Base(name) != name {
		return false
	}
	_, err := os.Lstat(d.named(name))
	return err == nil
}

// End is the end of the fork: none of its sandboxes is bound to the others any more.
func (f *Fork) End() error {
	gone := f.dir.named(gonePrefix + newID())
	err := os.Rename(f.dir.named(f.name), gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f.dir.path), snapshot.RemoveAll(gone))
}
