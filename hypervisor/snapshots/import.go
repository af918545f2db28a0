package snapshots

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// importPrefix begins the names of directories of imports that are under way.
const importPrefix = ".import-"

// importedName is that of a file in an imported snapshot, by which it is told from one
// that was taken here. No file that a snapshot is made of has such a name.
const importedName = ".imported"

// Imported is what a node knows of a snapshot that it has imported, beside what
// comes with it.
type Imported struct {
	// Client is who did so, and Time when.
	Client string    `json:"client"`
	Time   time.Time `json:"time"`
	// Images are where this node has what the snapshot's record calls images, in
	// that order; nil: there is none to be had.
	Images []*LocalImage `json:"images"`
}

// LocalImage is a file of this node's that a snapshot needs.
type LocalImage struct {
	Path   string `json:"path"`
	Digest string `json:"digest"` // of its content: "sha256:" and 64 digits
	// Stamp changes when the file does.
	Stamp string `json:"stamp"`
}

// maxImported is more bytes than an Imported has.
const maxImported = 1 << 20

// readImported returns what is known of an imported snapshot, nil if it was taken
// here.
func readImported(path string) (*Imported, error) {
	f, err := os.Open(filepath.Join(path, importedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxImported {
		return nil, fmt.Errorf("%s has %d bytes", f.Name(), info.Size())
	}
	i := new(Imported)
	if err := json.NewDecoder(f).Decode(i); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return i, nil
}

// apply has a snapshot be as this node knows it.
func (i *Imported) apply(s *Snapshot) error {
	if len(i.Images) != len(s.Record.GetImages()) {
		return fmt.Errorf("%s knows %d images, the snapshot needs %d", importedName, len(i.Images), len(s.Record.GetImages()))
	}
	s.Imported = i
	s.Record.RequestId = "" // of another node's client
	s.Record.Snapshot.Client = i.Client
	for n, image := range i.Images {
		s.Record.Images[n] = ""
		if image != nil {
			s.Record.Images[n] = image.Path
		}
	}
	return nil
}

// Import is where a snapshot of another node is put together.
type Import struct {
	dir  *Dir
	name string
}

// Import makes one.
func (d *Dir) Import() (*Import, error) {
	i := &Import{d, importPrefix + newID()}
	if err := os.Mkdir(d.named(i.name), 0o700); err != nil {
		return nil, fmt.Errorf("directory of an import: %w", err)
	}
	return i, nil
}

// Dir is a directory for the import's own use, in which the snapshot comes to be
// called as Open says.
func (i *Import) Dir() string { return i.dir.named(i.name) }

// Open returns the snapshot that is there, without a name.
func (i *Import) Open() (*Snapshot, error) { return read(i.path()) }

func (i *Import) path() string { return filepath.Join(i.Dir(), wholeName) }

// Publish gives the snapshot its name, with what this node knows of it. It fails with
// ErrTaken if there is another one.
func (i *Import) Publish(name string, known *Imported) error {
	if err := writeImported(i.path(), known); err != nil {
		return err
	}
	return i.dir.put(i.path(), i.dir.named(name))
}

// Close removes what wasn't published.
func (i *Import) Close() error { return os.RemoveAll(i.Dir()) }

// writeImported has an imported snapshot's directory say what is known of it: all at
// once, on disk.
func writeImported(path string, known *Imported) error {
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), gonePrefix+"imported-") // which a sweep removes
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(path, importedName))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(path)
}

// Remember has an imported snapshot's images be known as they are now.
func (s *Snapshot) Remember() error { return writeImported(s.Path, s.Imported) }
