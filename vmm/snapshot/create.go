package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// savingPrefix begins the names of snapshots that aren't whole yet.
const savingPrefix = ".saving-"

// Writer makes a snapshot. Its methods are for one goroutine. Publish or Discard
// ends it.
type Writer struct {
	path   string // where it is to be
	dir    string // where it is
	memory *os.File
	sums   chunks
	stored uint64
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
	w := &Writer{path: path, dir: dir}
	if w.memory, err = os.OpenFile(filepath.Join(dir, memoryName), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("make a snapshot: %w", err), w.Discard())
	}
	return w, nil
}

// ExistsError says that there is something where a snapshot is to be.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s exists: give the snapshot another name, or delete that", e.Path)
}

// Dir is where further files of the snapshot go before it is published.
func (w *Writer) Dir() string { return w.dir }

// Memory writes the guest's RAM, to which nobody may write meanwhile.
func (w *Writer) Memory(mem *memory.Memory) (err error) {
	w.sums, w.stored, err = writeMemory(w.memory, mem)
	return err
}

// Publish writes the rest and puts the snapshot in its place, on disk and whole.
// Version and StoredBytes of m are filled in.
func (w *Writer) Publish(m Manifest, state *statev1.Machine) error {
	m.Version, m.StoredBytes = Version, w.stored
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the snapshot's manifest: %w", err)
	}
	encoded, err := encodeState(state)
	if err != nil {
		return err
	}
	files := map[string][]byte{manifestName: append(manifest, '\n'), stateName: encoded, chunksName: w.sums}
	for name, b := range files {
		if err := w.writeFile(name, b); err != nil {
			return err
		}
	}
	if err := w.writeFile(sumsName, sumsOf(files)); err != nil {
		return err
	}
	if err := w.memory.Sync(); err != nil {
		return fmt.Errorf("write the guest's memory: %w", err)
	}
	setVerified(w.dir, w.memory) // its sums were made of what was written
	if err := syncDir(w.dir); err != nil {
		return err
	}
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
	return errors.Join(syncDir(filepath.Dir(w.path)), w.memory.Close())
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
	return nil
}

// Discard removes what there is of a snapshot that wasn't published. It does
// nothing for one that was.
func (w *Writer) Discard() error {
	if w.dir == "" {
		return nil
	}
	err := os.RemoveAll(w.dir)
	w.dir = ""
	if w.memory != nil {
		err = errors.Join(err, w.memory.Close())
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

// Sweep removes what writers that were killed have left in a directory of
// snapshots. Nobody may be making one there.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep snapshots: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), savingPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
