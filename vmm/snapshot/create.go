package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// savingPrefix begins the names of snapshots that aren't whole yet, beside where
// they are to be. Whoever owns that directory removes those of who was killed.
const savingPrefix = ".saving-"

// Writer makes a snapshot. Its methods are for one goroutine, and called in this
// order: Prepare, Memory, Copy, Rebase, Publish, Open. Discard ends it, whatever was
// called.
type Writer struct {
	path  string    // where it is to be
	dir   directory // where it is
	moved bool      // there

	files  []*large // its own
	linked []*large // disks that are another one's as well
	layers []*layer // of memory, uppermost first; own and others'
	parent *Parent  // whose others are
	whole  string   // why there are none
	stored uint64   // of memory
	synced bool     // the files are on disk

	base *chunkWriter   // has written what the machine began as; nil: nothing was
	sums []func() error // make those of disks that were cloned

	syncPlace func(path string) error // syncDir, but in tests
	// reached is told of each step that may be the last one, in tests.
	reached func(step string)
}

// Create begins a snapshot that is to be at path, where nothing may be yet.
func Create(path string) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &ExistsError{path}
	}
	return newWriter(path)
}

// newWriter begins a snapshot that is written beside path.
func newWriter(path string) (*Writer, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), savingPrefix+filepath.Base(path)+"-")
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	d, err := openDirectory(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &Writer{path: path, dir: d, syncPlace: syncDir, reached: func(string) {}}, nil
}

// ExistsError says that there is something where a snapshot is to be.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s exists: give the snapshot another name, or delete that", e.Path)
}

// make makes a large file, which is w's at once.
func (w *Writer) make(name string) (*large, error) {
	f, err := w.dir.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	l := &large{name: name, file: f}
	w.files = append(w.files, l)
	w.reached("make " + name)
	return l, nil
}

// is completes a file that was written.
func (l *large) is(c *chunkWriter) { l.size, l.sums = c.size, c.sums }

// Stored returns how many bytes of memory were written.
func (w *Writer) Stored() uint64 { return w.stored }

// Publish writes the rest and puts the snapshot in its place, on disk and whole.
// What m says of the format and of the machine is filled in. If it fails, nothing is
// there.
func (w *Writer) Publish(m Manifest, state *statev1.Machine) error {
	if err := w.complete(m, state); err != nil {
		return err
	}
	return w.rename()
}

// complete writes the rest.
func (w *Writer) complete(m Manifest, state *statev1.Machine) error {
	for _, sum := range w.sums {
		if err := sum(); err != nil {
			return err
		}
	}
	files, err := w.small(m, state)
	if err != nil {
		return err
	}
	for _, l := range w.files {
		if err := l.file.Sync(); err != nil {
			return fmt.Errorf("write a snapshot's %s: %w", l.name, err)
		}
		w.reached("sync " + l.name)
	}
	w.synced = true
	for name, b := range files {
		if err := w.writeFile(name, b); err != nil {
			return err
		}
	}
	if err := w.writeFile(sumsName, files.sums()); err != nil {
		return err
	}
	setVerified(w.dir, w.files) // the sums were made of what was written
	w.reached("verified")
	if err := w.dir.Sync(); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	w.reached("sync")
	return nil
}

// small returns the files that SHA256SUMS is of.
func (w *Writer) small(m Manifest, state *statev1.Machine) (small, error) {
	disks := append(w.linked, w.files...)
	m.describe(state, disks)
	m.Version, m.StoredBytes = wholeVersion, w.stored
	m.Layers, m.Parent, m.Whole = len(w.layers), w.parent, w.whole
	if m.Layers > 1 {
		m.Version = Version
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot's manifest: %w", err)
	}
	encoded, err := encodeState(state)
	if err != nil {
		return nil, err
	}
	files := small{manifestName: append(manifest, '\n'), stateName: encoded}
	for _, l := range disks {
		files[l.name+sumsSuffix] = l.sums
	}
	for i, l := range w.layers {
		files[layerName(i)+sumsSuffix] = l.sums
		if !l.base {
			files[layerName(i)+mapSuffix] = l.pages.encode()
		}
	}
	return files, nil
}

// rename puts the snapshot in its place, or leaves it where it is.
func (w *Writer) rename() error {
	err := w.put(unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return &ExistsError{w.path}
	}
	w.moved = err == nil
	return err
}

// put moves the snapshot to its place, on disk. If it fails, all is where it was.
func (w *Writer) put(how uint) error {
	from := w.dir.Name()
	if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, w.path, how); err != nil {
		return fmt.Errorf("put the snapshot in its place: %w", err)
	}
	w.reached("rename")
	err := w.syncPlace(filepath.Dir(w.path))
	if err == nil {
		return nil
	}
	// Whether it stays there nobody knows: it mustn't.
	if undone := unix.Renameat2(unix.AT_FDCWD, w.path, unix.AT_FDCWD, from, how); undone != nil {
		return fmt.Errorf("%w; and the snapshot is left at %s: %w", err, w.path, undone)
	}
	return err
}

func (w *Writer) writeFile(name string, b []byte) error {
	f, err := w.dir.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write a snapshot's %s: %w", name, err)
	}
	w.reached(name)
	return nil
}

// Open opens the snapshot that was published.
func (w *Writer) Open() (s *Snapshot, err error) {
	err = within(w.path, func(d directory) error {
		s, err = open(d, w.path)
		return err
	})
	return s, err
}

// Discard frees what the writer has, and removes what there is of a snapshot that
// wasn't published.
func (w *Writer) Discard() (err error) {
	for _, l := range w.files {
		err = errors.Join(err, l.Close())
	}
	w.files, w.layers = nil, nil
	if !w.moved {
		err = errors.Join(err, RemoveAll(w.dir.Name()))
		w.moved = true
	}
	if w.dir.File != nil {
		err = errors.Join(err, w.dir.Close())
		w.dir = directory{}
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write a snapshot: %w", err)
	}
	return nil
}
