// Package snapshots is the directory in which a node keeps snapshots:
//
//	NAME/                a snapshot, of the form that package vmm/snapshot has
//	.new-SANDBOX-ID/     one of that sandbox that isn't whole yet
//	.fork-ID/            one that goes when all copies of it run
//	.import-ID/          one of another node that isn't whole yet
//	.gone-ID/            one that is being deleted
//	.saving-NAME-ID/     one that is being merged, or was
//
// A snapshot's manifest is the only record of it, but for what a node knows of one
// that it has imported. Whatever begins with a dot is a work's that is under way, or was
// when the node ended.
//
// Templates are snapshots as well, in a directory of their own, each with the digits
// of its digest for a name.
package snapshots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Dir is such a directory, which is one node's but for templates'. Its methods may be
// called from any goroutine.
type Dir struct {
	path   string
	isName func(string) bool
	shared bool                    // by several nodes
	sync   func(path string) error // syncDir, but in tests
	// removing is held while it is decided whether a name is to go, or what it is of
	// is exchanged.
	removing sync.Mutex
}

// Snapshot is one that is whole, as far as its manifest tells.
type Snapshot struct {
	Path string
	// Record has all that the manifest says of what the snapshot is of.
	Record *storev1.Snapshot
	// Imported is set if another node took it.
	Imported *Imported
}

// Errors of a snapshot's name.
var (
	ErrNone  = errors.New("there is no such snapshot")
	ErrTaken = errors.New("there is such a snapshot")
)

// Open returns the directory at path, which is made if there is none. It fails if
// others may look into it: snapshots have all that guests' memory has.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("directory of snapshots: %w", err)
	}
	d := &Dir{path: path, sync: syncDir, isName: func(name string) bool { return supervise.CheckName(name) == nil }}
	if err := d.checkOwner(); err != nil {
		return nil, fmt.Errorf("directory of snapshots: %w", err)
	}
	return d, nil
}

// checkOwner fails if others may look into the directory.
func (d *Dir) checkOwner() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.IsDir():
		return fmt.Errorf("%s is no directory: put it elsewhere", d.path)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to %d, who runs this node: see what is in it, and chown it if it is all yours", d.path, st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has the mode %#o, and snapshots have what guests' memory has: see what others have put there, and then \"chmod 700 %s\"", d.path, info.Mode().Perm(), d.path)
	}
	return nil
}

// Names returns the names of all, in their order.
func (d *Dir) Names() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	if d.shared && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("directory of snapshots: %w", err)
	}
	for _, e := range entries {
		if d.isName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Has reports whether there is something of that name, whole or not.
func (d *Dir) Has(name string) bool {
	if !d.isName(name) {
		return false
	}
	_, err := os.Lstat(d.named(name))
	return err == nil
}

func (d *Dir) named(name string) string { return filepath.Join(d.path, name) }

// Get returns a snapshot. It fails with ErrNone, *DamagedError or *snapshot.VersionError,
// or as the host does.
func (d *Dir) Get(name string) (*Snapshot, error) {
	if !d.Has(name) {
		return nil, ErrNone
	}
	s, err := read(d.named(name))
	if errors.Is(err, fs.ErrNotExist) && !d.Has(name) { // it has just been deleted
		return nil, ErrNone
	}
	if err != nil {
		return nil, explain(name, err)
	}
	s.Record.Snapshot.Name = name
	return s, nil
}

// explain says of which snapshot an error is, and whether it is damaged: not where it is
// the host that can't, nor if a later program has made it.
func explain(name string, err error) error {
	var later *snapshot.VersionError
	if snapshot.IsHost(err) || errors.As(err, &later) {
		return fmt.Errorf("snapshot %q can't be used: %w", name, err)
	}
	return &DamagedError{name, err}
}

// DamagedError says that a snapshot isn't what was written.
type DamagedError struct {
	Name string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("snapshot %q is damaged: %v: delete it, or restore it from a copy", e.Name, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Remove deletes a snapshot, whatever is there of it; only the one with the uid, if
// that is not empty. Who has mapped its memory keeps it.
func (d *Dir) Remove(name, uid string) error {
	gone, err := d.takeAway(name, uid)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	var damaged *DamagedError
	if errors.Is(err, ErrNone) || errors.As(err, &damaged) {
		return err
	}
	if err == nil {
		err = errors.Join(syncDir(d.path), snapshot.RemoveAll(gone))
	}
	if err != nil {
		return fmt.Errorf("delete snapshot %q: %w", name, err)
	}
	return nil
}

// takeAway has a snapshot lose its name at once: the next one may have it.
func (d *Dir) takeAway(name, uid string) (gone string, err error) {
	d.removing.Lock() // names come to be another's only after that
	defer d.removing.Unlock()
	if !d.Has(name) {
		return "", ErrNone
	}
	if uid != "" {
		s, err := d.Get(name)
		if err != nil {
			return "", err
		}
		if s.Record.GetSnapshot().GetUid() != uid {
			return "", ErrNone
		}
	}
	gone = d.named(gonePrefix + newID())
	return gone, os.Rename(d.named(name), gone)
}

// put moves a directory to its place, on disk. If it fails, all is where it was.
func (d *Dir) put(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return ErrTaken
	}
	if err != nil {
		return fmt.Errorf("put the snapshot in its place: %w", err)
	}
	if err = d.sync(filepath.Dir(to)); err == nil {
		return nil
	}
	// Whether it stays there nobody knows: it mustn't.
	if undone := unix.Renameat2(unix.AT_FDCWD, to, unix.AT_FDCWD, from, unix.RENAME_NOREPLACE); undone != nil {
		return fmt.Errorf("%w; and the snapshot is left at %s: %w", err, to, undone)
	}
	return err
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Sweep removes what an earlier node was deleting or importing, and returns the stages
// and forks that it was at: their owners are to be looked after first. What can't be
// removed stays, and left is told.
func (d *Dir) Sweep(left func(name string, err error)) (stages []*Stage, forks []*Fork, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, nil, fmt.Errorf("directory of snapshots: %w", err)
	}
	for _, e := range entries {
		var err error
		switch name := e.Name(); {
		case strings.HasPrefix(name, gonePrefix), strings.HasPrefix(name, importPrefix), strings.HasPrefix(name, mergePrefix):
			err = snapshot.RemoveAll(d.named(name))
		case strings.HasPrefix(name, forkPrefix):
			forks = append(forks, &Fork{d, name})
		case strings.HasPrefix(name, stagePrefix):
			s := &Stage{dir: d, name: name}
			err = s.empty() // the room is needed
			stages = append(stages, s)
		}
		if err != nil {
			left(e.Name(), err)
		}
	}
	return stages, forks, nil
}
