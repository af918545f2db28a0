package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// savingPrefix begins the names of snapshots that aren't whole yet, beside where
// they are to be. Whoever owns that directory removes those of who was killed.
const savingPrefix = ".saving-"

// Writer makes a snapshot. Its methods are for one goroutine. Discard ends it,
// after Publish as well.
type Writer struct {
	path   string // where it is to be
	dir    string // where it is; empty: there
	files  []*large
	stored uint64 // of memory

	// reached is told of each step that may be the last one, in tests.
	reached func(step string)
}

// Create begins a snapshot that is to be at path, where nothing may be yet.
func Create(path string) (*Writer, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, &ExistsError{path}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), savingPrefix+filepath.Base(path)+"-")
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	return &Writer{path: path, dir: dir, reached: func(string) {}}, nil
}

// ExistsError says that there is something where a snapshot is to be.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s exists: give the snapshot another name, or delete that", e.Path)
}

// Memory writes the guest's RAM, to which nobody may write meanwhile. It gives up
// when ctx is done.
func (w *Writer) Memory(ctx context.Context, mem *memory.Memory) error {
	f, err := w.make(memoryName)
	if err != nil {
		return err
	}
	c, err := writeMemory(ctx, f, mem)
	if err != nil {
		return err
	}
	w.add(memoryName, c)
	w.stored = c.stored
	w.reached(memoryName)
	return nil
}

// Copy adds a copy of what is behind a device: the file at path, to which nobody
// may write meanwhile. It gives up when ctx is done.
func (w *Writer) Copy(ctx context.Context, device, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("copy %s's: %w", device, err)
	}
	defer src.Close()
	f, err := w.make(device)
	if err != nil {
		return err
	}
	c, err := writeCopy(ctx, f, src)
	if err != nil {
		return err
	}
	w.add(device, c)
	w.reached(device)
	return nil
}

// make makes a large file, which is w's at once.
func (w *Writer) make(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	w.files = append(w.files, &large{name: name, file: f})
	w.reached("make " + name)
	return f, nil
}

// add completes the file made last.
func (w *Writer) add(name string, c *chunkWriter) {
	l := w.files[len(w.files)-1]
	l.size, l.sums = c.size, c.sums
}

// Stored returns how many bytes of memory were written.
func (w *Writer) Stored() uint64 { return w.stored }

// Publish writes the rest and puts the snapshot in its place, on disk and whole.
// What m says of the format and of the machine is filled in.
func (w *Writer) Publish(m Manifest, state *statev1.Machine) error {
	m.describe(state, w.files)
	m.Version, m.StoredBytes = Version, w.stored
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the snapshot's manifest: %w", err)
	}
	encoded, err := encodeState(state)
	if err != nil {
		return err
	}
	files := small{manifestName: append(manifest, '\n'), stateName: encoded}
	for _, l := range w.files {
		files[l.name+sumsSuffix] = l.sums
		if err := l.file.Sync(); err != nil {
			return fmt.Errorf("write a snapshot's %s: %w", l.name, err)
		}
		w.reached("sync " + l.name)
	}
	for name, b := range files {
		if err := w.writeFile(name, b); err != nil {
			return err
		}
	}
	if err := w.writeFile(sumsName, files.sums()); err != nil {
		return err
	}
	setVerified(w.dir, w.files) // the sums were made of what was written
	w.reached(verifiedName)
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.reached("sync")
	return w.rename()
}

func (w *Writer) rename() error {
	err := unix.Renameat2(unix.AT_FDCWD, w.dir, unix.AT_FDCWD, w.path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return &ExistsError{w.path}
	}
	if err != nil {
		return fmt.Errorf("put the snapshot in its place: %w", err)
	}
	w.dir = ""
	w.reached("rename")
	return syncDir(filepath.Dir(w.path))
}

func (w *Writer) writeFile(name string, b []byte) error {
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
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

// Discard frees what the writer has, and removes what there is of a snapshot that
// wasn't published.
func (w *Writer) Discard() (err error) {
	for _, l := range w.files {
		err = errors.Join(err, l.file.Close())
	}
	w.files = nil
	if w.dir != "" {
		err = errors.Join(err, os.RemoveAll(w.dir))
		w.dir = ""
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
