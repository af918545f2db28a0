package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// Source is what Write writes.
type Source struct {
	// Dir is the snapshot's directory. It may be deleted meanwhile.
	Dir  string
	Info Info
	// Scratch makes an empty file that Write closes, for an OCI archive: what it is
	// of, compressed, must be known before it is written. A file without a name
	// leaves nothing behind.
	Scratch func() (*os.File, error)
	// Room fails if so many bytes more may not be written to it. nil: any may.
	Room func(bytes int64) error
}

// Write writes the archive of a snapshot to w, and gives up when ctx is done. The
// snapshot is opened, which finds it damaged where it is.
func Write(ctx context.Context, w io.Writer, format Format, s Source) error {
	open, err := openSource(s)
	if err != nil {
		return err
	}
	defer open.close()
	w = withContext(ctx, w)
	if format == Plain {
		return open.writePlain(ctx, w)
	}
	return open.writeOCI(ctx, w)
}

// source is a Source with its files, which are open.
type source struct {
	Source
	created time.Time
	info    []byte
	files   []*os.File // SHA256SUMS and the manifest first
}

// openTries is how often a snapshot is opened that another one takes the place of
// meanwhile.
const openTries = 5

func openSource(s Source) (open *source, err error) {
	for range openTries {
		open, err = openOnce(s)
		if !errors.Is(err, errReplaced) {
			break
		}
	}
	return open, err
}

var errReplaced = errors.New("another snapshot has come in its place: try again")

// openOnce opens the files of one directory, and sees that it is a whole snapshot's.
func openOnce(s Source) (_ *source, err error) {
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	defer root.Close() // which was only read
	whole, err := snapshot.Open(s.Dir)
	if err != nil {
		return nil, err
	}
	open := &source{Source: s, created: whole.Manifest.Created}
	defer func() {
		if err = errors.Join(err, whole.Close()); err != nil {
			open.close()
		}
	}()
	if open.info, err = encodeInfo(s.Info); err != nil {
		return nil, err
	}
	sums, err := root.ReadFile(snapshot.SumsName)
	if err != nil {
		return nil, fmt.Errorf("open a snapshot: %w", err)
	}
	if fmt.Sprintf("sha256:%x", sha256.Sum256(sums)) != whole.Digest {
		return nil, errReplaced
	}
	listed, err := snapshot.Listed(sums)
	if err != nil {
		return nil, err
	}
	for _, file := range append([]snapshot.File{{Name: snapshot.SumsName}}, listed...) {
		f, err := root.OpenFile(file.Name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("open a snapshot's file: %w", err)
		}
		open.files = append(open.files, f)
	}
	return open, nil
}

func (s *source) close() {
	for _, f := range s.files {
		f.Close() // which was only read
	}
}

// name is what a file is called in the archive.
func name(f *os.File) string { return filepath.Base(f.Name()) }

func (s *source) writePlain(ctx context.Context, w io.Writer) error {
	m := &member{name: infoName, modified: s.created, stored: int64(len(s.info))}
	b := append(m.headers(), s.info...)
	if _, err := w.Write(append(b, make([]byte, padding(m.stored))...)); err != nil {
		return err
	}
	for _, f := range s.files {
		if err := writeMember(ctx, w, name(f), f, s.created); err != nil {
			return err
		}
	}
	_, err := w.Write(endOfArchive())
	return err
}
